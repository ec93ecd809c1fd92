"""How bodies of requests are read: within limits, in bounded steps, and refused at the first fault.

An endpoint with a body is an ordinary one of FastAPI, on a router of this class::

    router = APIRouter(route_class=BodyRoute)

    class CaptionRequest(BaseModel):
        texts: Texts
        query: Text | None = None
        language: str | None = None

    @router.post("/caption")
    async def caption(body: CaptionRequest) -> Response: ...

Fields that may hold much have one of the types in ``fields``; they are strict, and pydantic does not validate
them again. All other fields have at most 16 KiB, and are validated by the model.
"""
