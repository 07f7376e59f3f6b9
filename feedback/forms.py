"""Feedback forms: YAML → frozen documents, and posted fields → checked answers."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from appliance.core.documents import Document, parse_document

Answer = str | tuple[str, ...]
AGREEMENT = ("agree", "partly", "disagree")
MAX_TEXT = 4000
Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
Label = Annotated[str, Field(min_length=1, max_length=200)]
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Choice(Document):
    """One of several answers, shown as radio buttons."""

    kind: Literal["choice"]
    key: Key
    label: Label
    options: dict[Key, Label] = Field(min_length=2)
    required: bool = True


class Several(Document):
    """Any number of answers, shown as check boxes."""

    kind: Literal["several"]
    key: Key
    label: Label
    options: dict[Key, Label] = Field(min_length=1)
    required: bool = False


class Text(Document):
    """Free text."""

    kind: Literal["text"]
    key: Key
    label: Label
    max_length: int = Field(default=2000, ge=1, le=MAX_TEXT)
    required: bool = False


Question = Annotated[Choice | Several | Text, Field(discriminator="kind")]


class Form(Document):
    """One form. Its first question is always the agreement, so that sites can be compared."""

    title: Label
    questions: tuple[Question, ...] = Field(min_length=1)
    thanks: Label = "Thank you. Your answer is kept with this result."

    @field_validator("questions")
    @classmethod
    def _keys_are_unique(cls, questions: tuple[Question, ...]) -> tuple[Question, ...]:
        twice = [key for key, n in Counter(q.key for q in questions).items() if n > 1]
        if twice:
            raise ValueError(f"the question {twice[0]!r} stands twice; give each its own key")
        return questions

    @model_validator(mode="after")
    def _asks_for_agreement(self) -> "Form":
        first = self.questions[0]
        if not (
            isinstance(first, Choice)
            and first.key == "agreement"
            and first.required
            and tuple(first.options) == AGREEMENT
        ):
            raise ValueError(
                "the first question must be a required choice with the key 'agreement' and the"
                " options agree, partly, disagree, in this order"
            )
        return self


class Refused(ValueError):
    """Posted answers that do not fit the form; `problems` by question key."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(problems.values()))
        self.problems = problems


def parse_form(text: str, name: str) -> Form:
    """Return the form that `text` describes. Raises ConfigError naming file, line and key."""
    return parse_document(text, name, Form)


def read_answers(form: Form, fields: Mapping[str, Sequence[str]]) -> Mapping[str, Answer]:
    """Return the answers in `fields` (all values by question key). Raises Refused.

    Questions left open have no entry. Keys that the form does not ask for are ignored here:
    the page's own hidden fields are among them.
    """
    answers: dict[str, Answer] = {}
    problems: dict[str, str] = {}
    for question in form.questions:
        try:
            answer = _read(question, fields.get(question.key, ()))
        except ValueError as error:
            problems[question.key] = str(error)
            continue
        if answer:
            answers[question.key] = answer
        elif question.required:
            problems[question.key] = "Please answer this question."
    if problems:
        raise Refused(problems)
    return answers


def _read(question: Question, values: Sequence[str]) -> Answer:
    if isinstance(question, Text):
        return _text(question, values)
    unknown = [value for value in values if value not in question.options]
    if unknown:
        raise ValueError("This answer is not one of the form's.")
    if isinstance(question, Several):
        return tuple(option for option in question.options if option in values)
    if len(values) > 1:
        raise ValueError("Only one answer is possible here.")
    return values[0] if values else ""


def _text(question: Text, values: Sequence[str]) -> str:
    text = _CONTROL.sub("", "\n".join(values).replace("\r\n", "\n")).strip()
    if len(text) > question.max_length:
        raise ValueError(f"Please use at most {question.max_length} characters.")
    return text


def spoken(form: Form | None, answers: Mapping[str, Answer]) -> tuple[tuple[str, str], ...]:
    """Return (question, answer) in the form's words, or in the stored ones where it changed."""
    questions = {q.key: q for q in form.questions} if form else {}
    rows = []
    for key, answer in answers.items():
        question = questions.get(key)
        words = {} if question is None or isinstance(question, Text) else question.options
        values = (answer,) if isinstance(answer, str) else answer
        said = ", ".join(words.get(value, value) for value in values)
        rows.append((question.label if question else key, said))
    return tuple(rows)
