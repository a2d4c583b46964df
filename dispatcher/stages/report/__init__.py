"""Report: what became of a dispatch, who was told what and when, and whether the numbers are true."""

from dispatcher.stages.report.account import account_deliveries
from dispatcher.stages.report.account_model import AccountDeliveries, AccountInDispatch
from dispatcher.stages.report.accounts import accounts_page
from dispatcher.stages.report.dispatch import dispatch_report, latest_dispatch, totals
from dispatcher.stages.report.export import COLUMNS, export_csv
from dispatcher.stages.report.masks import mask_email, mask_phone, show_address
from dispatcher.stages.report.model import AccountPage, AccountStanding, DispatchReport
from dispatcher.stages.report.one_account import account_in_dispatch
from dispatcher.stages.report.people import words_for
from dispatcher.stages.report.rollup import PUBLISHES, due, roll_up, run
from dispatcher.stages.report.verify import DIFFERENCES, Differences, LedgerRow, verify_ledger

__all__ = [
    "COLUMNS",
    "DIFFERENCES",
    "PUBLISHES",
    "AccountDeliveries",
    "AccountInDispatch",
    "AccountPage",
    "AccountStanding",
    "Differences",
    "DispatchReport",
    "LedgerRow",
    "account_deliveries",
    "account_in_dispatch",
    "accounts_page",
    "dispatch_report",
    "due",
    "export_csv",
    "latest_dispatch",
    "mask_email",
    "mask_phone",
    "roll_up",
    "run",
    "show_address",
    "totals",
    "verify_ledger",
    "words_for",
]
