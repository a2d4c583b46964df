"""Numbers in sentences."""

from dispatcher.cli.looking import summed_up
from dispatcher.web.preview_models import SmsTotal, Totals


def test_one_is_one_and_two_are_several() -> None:
    def said(number: int) -> str:
        sms = SmsTotal(texts=number, segments_minimum=number, segments_maximum=number, cost=None)
        return summed_up(Totals(emails=number, banners=number, posts=number, sms=sms))

    assert said(1) == "1 mail, 1 text (1 segment), 1 post, 1 banner."
    assert said(2) == "2 mails, 2 texts (2 segments), 2 posts, 2 banners."
