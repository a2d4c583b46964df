"""Report: what became of a dispatch, who was told what and when, and whether the numbers are true."""

from dispatcher.rules.reasons import words_for
from dispatcher.stages.report.account import Which, account_deliveries
from dispatcher.stages.report.account_model import AccountDeliveries, AccountInDispatch
from dispatcher.stages.report.accounts import Narrowed, accounts_page
from dispatcher.stages.report.dispatch import dispatch_report, latest_dispatch, totals
from dispatcher.stages.report.export import run_export, stream_csv, write_workbook
from dispatcher.stages.report.export_store import (
    Format,
    State,
    ask_for_export,
    export_chunks,
    exports_due,
    find_export,
    remove_expired,
)
from dispatcher.stages.report.masks import mask_email, mask_phone, show_address, show_name
from dispatcher.stages.report.model import AccountPage, AccountStanding, DispatchReport
from dispatcher.stages.report.one_account import account_in_dispatch
from dispatcher.stages.report.rollup import due, roll_up, run
from dispatcher.stages.report.verify import DIFFERENCES, Differences, LedgerRow, verify_ledger
from dispatcher.stages.report.walk import COLUMNS

PUBLISHES = ("export.wanted",)

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
    "Format",
    "LedgerRow",
    "Narrowed",
    "State",
    "Which",
    "account_deliveries",
    "account_in_dispatch",
    "accounts_page",
    "ask_for_export",
    "dispatch_report",
    "due",
    "export_chunks",
    "exports_due",
    "find_export",
    "latest_dispatch",
    "mask_email",
    "mask_phone",
    "remove_expired",
    "roll_up",
    "run",
    "run_export",
    "show_address",
    "show_name",
    "stream_csv",
    "totals",
    "verify_ledger",
    "words_for",
    "write_workbook",
]
