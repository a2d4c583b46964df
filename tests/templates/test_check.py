import shutil
from pathlib import Path

import pytest

from templates.check import check_templates
from templates.words import FOLDER, TemplateError


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "templates"))


def test_the_shipped_words_name_only_what_exists() -> None:
    check_templates()


@pytest.mark.parametrize(
    ("file", "wrong", "said"),
    [
        ("email/smb.j2", "{{ slot.nmae }}", "email/smb.j2: line 1: 'slot.nmae' does not exist"),
        ("sms/smb.j2", "{{ facts.titel }}", "sms/smb.j2: line 1: 'facts.titel' does not exist"),
        ("social/public.j2", "{{ incdent_ref }}", "'incdent_ref' is not a name that may be used"),
        ("email/smb.j2", "{{ internal.cause }}", "'internal' is not a name that may be used"),
        ("banner/base.j2", "{% if %}", "banner/base.j2: line 1:"),
        ("email/base.j2", "{{ facts.title | sparkle }}", "No filter named 'sparkle'"),
    ],
)
def test_a_wrong_name_is_found_at_start_with_its_place(
    copy: Path, file: str, wrong: str, said: str
) -> None:
    (copy / file).write_text(f"{wrong}\n", encoding="utf-8")
    with pytest.raises(TemplateError) as refused:
        check_templates(copy)
    assert said in str(refused.value)
