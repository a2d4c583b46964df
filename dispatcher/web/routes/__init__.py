"""Every address this program answers at. The API's description is made from this table."""

from typing import Final

from dispatcher.web.customer_lists import CUSTOMER_LIST_ROUTES
from dispatcher.web.drafts.routes import DRAFT_ROUTES
from dispatcher.web.intake.routes import INTAKE_ROUTES
from dispatcher.web.people.routes import PEOPLE_ROUTES
from dispatcher.web.public.routes import PUBLIC_ROUTES
from dispatcher.web.report_page.routes import REPORT_ROUTES
from dispatcher.web.routes.banner import BANNER_ROUTES
from dispatcher.web.routes.channels import CHANNEL_ROUTES
from dispatcher.web.routes.customers import CUSTOMER_ROUTES
from dispatcher.web.routes.dispatches import DISPATCH_ROUTES
from dispatcher.web.routes.operation import OPERATION_ROUTES
from dispatcher.web.routes.pages import PAGE_ROUTES
from dispatcher.web.routes.updates import UPDATE_ROUTES
from dispatcher.web.webhooks.routes import WEBHOOK_ROUTES

ROUTES: Final = (
    *UPDATE_ROUTES,
    *DRAFT_ROUTES,
    *DISPATCH_ROUTES,
    *CUSTOMER_ROUTES,
    *CUSTOMER_LIST_ROUTES,
    *CHANNEL_ROUTES,
    *INTAKE_ROUTES,
    *WEBHOOK_ROUTES,
    *PEOPLE_ROUTES,
    *BANNER_ROUTES,
    *PAGE_ROUTES,
    *PUBLIC_ROUTES,
    *REPORT_ROUTES,
    *OPERATION_ROUTES,
)
