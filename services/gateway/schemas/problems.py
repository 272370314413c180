"""The pages about problems."""

from typing import ClassVar

from marshmallow import Schema, fields

from services.gateway.describing import Example


class ProblemTypeSchema(Schema):
    """What all problems of one code have in common."""

    EXAMPLE: ClassVar[Example] = {
        "type": "/api/v1/problems/window_expired",
        "code": "window_expired",
        "status": 409,
        "title": "It is too late to recall this message",
    }

    type = fields.String()
    code = fields.String()
    status = fields.Integer()
    title = fields.String()


class ProblemTypesSchema(Schema):
    """All problems there are."""

    EXAMPLE: ClassVar[Example] = {"problems": [ProblemTypeSchema.EXAMPLE]}

    problems = fields.List(fields.Nested(ProblemTypeSchema))
