"""Customers, segments, suppressions, templates."""

from typing import Any, Final

from dispatcher.web import (
    customers,
    overview,
    suppressions,
)
from dispatcher.web.customer_models import Account, Component, Contact, Stored
from dispatcher.web.lists import PageQuery
from dispatcher.web.models import (
    SegmentPage,
    TemplatePage,
)
from dispatcher.web.reading import NoQuery
from dispatcher.web.routing import Route
from dispatcher.web.rows import get, put
from dispatcher.web.scopes import Scope
from segments.records import AccountIn, ComponentIn, ContactIn

CUSTOMER_ROUTES: Final[tuple[Route[Any, Any], ...]] = (
    put("account", "accounts", AccountIn, customers.put_account),
    get(
        "/v1/accounts/{external_id}",
        "get_account",
        Scope.SEGMENTS_WRITE,
        customers.get_account,
        NoQuery,
        Account,
    ),
    put("contact", "contacts", ContactIn, customers.put_contact),
    get(
        "/v1/contacts/{external_id}",
        "get_contact",
        Scope.SEGMENTS_WRITE,
        customers.get_contact,
        NoQuery,
        Contact,
    ),
    Route(
        method="DELETE",
        path="/v1/contacts/{external_id}",
        operation="erase_contact",
        guard=Scope.SEGMENTS_WRITE,
        handler=customers.delete_contact,
        query=NoQuery,
        replies={200: Stored},
    ),
    put("component", "components", ComponentIn, customers.put_component),
    get(
        "/v1/components/{external_id}",
        "get_component",
        Scope.SEGMENTS_WRITE,
        customers.get_component,
        NoQuery,
        Component,
    ),
    get(
        "/v1/suppressions",
        "list_suppressions",
        Scope.SEGMENTS_WRITE,
        suppressions.list_all,
        suppressions.SuppressionQuery,
        suppressions.SuppressionPage,
    ),
    Route(
        method="POST",
        path="/v1/suppressions",
        operation="add_suppression",
        guard=Scope.SEGMENTS_WRITE,
        handler=suppressions.add,
        query=NoQuery,
        body=suppressions.SuppressionIn,
        replies={201: Stored, 200: Stored},
    ),
    Route(
        method="DELETE",
        path="/v1/suppressions",
        operation="remove_suppression",
        guard=Scope.SEGMENTS_WRITE,
        handler=suppressions.remove,
        query=NoQuery,
        body=suppressions.SuppressionIn,
        replies={200: Stored},
    ),
    get(
        "/v1/segments",
        "list_segments",
        Scope.INCIDENTS_READ,
        overview.list_segments,
        PageQuery,
        SegmentPage,
    ),
    get(
        "/v1/templates",
        "list_templates",
        Scope.INCIDENTS_READ,
        overview.list_templates,
        PageQuery,
        TemplatePage,
    ),
)
