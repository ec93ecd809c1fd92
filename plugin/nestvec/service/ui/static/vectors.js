// Arithmetic of nested vectors: the first numbers of a vector, normalised again, are a vector of that length.

/** The first `dim` numbers of each vector at unit length. */
export function cut(vectors, dim) {
  return vectors.map((vector) => {
    const short = vector.slice(0, dim);
    const length = Math.hypot(...short);
    return length === 0 ? short : short.map((value) => value / length);
  });
}

export function dot(left, right) {
  let sum = 0;
  for (let at = 0; at < left.length; at += 1) sum += left[at] * right[at];
  return sum;
}

/** The texts by their similarity to the query: [{index, score, rank}], the nearest first. */
export function ranking(query, vectors) {
  const rows = vectors.map((vector, index) => ({ index, score: dot(query, vector) }));
  rows.sort((left, right) => right.score - left.score || left.index - right.index);
  return rows.map((row, at) => ({ ...row, rank: at + 1 }));
}

/** The similarity of every pair. */
export function pairs(vectors) {
  return vectors.map((left) => vectors.map((right) => dot(left, right)));
}
