"""The service through OpenAI's own client: one encoder, vectors of two lengths.

python openai_client.py [SERVICE]
"""

from __future__ import annotations

import sys

import numpy as np
from openai import OpenAI

SERVICE = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
TEXTS = [
    "The flow of heat behind a shock wave in a gas.",
    "Heat transfer behind a shock front.",
    "How honey bees share the position of flowers.",
]

# The client requires a key; a service without --api-keys ignores it.
client = OpenAI(base_url=f"{SERVICE}/v1", api_key="unused")

for dimensions in (64, 384):
    answer = client.embeddings.create(model="minilm", input=TEXTS, dimensions=dimensions)
    vectors = np.array([item.embedding for item in answer.data])
    near, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    print(f"{dimensions} dims: paraphrase {near:.2f}, other topic {far:.2f}")

print(f"{answer.usage.prompt_tokens} tokens in the last request")
