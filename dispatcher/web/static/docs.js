// The page at /docs: the description of the API, to read and to try out. Keys stay in this page's memory.
"use strict";

window.addEventListener("DOMContentLoaded", () => {
  SwaggerUIBundle({
    url: "/v1/openapi.json",
    dom_id: "#docs",
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "list",
    filter: true,
    persistAuthorization: false,
    // Else the page would send the description to a service of others to have it checked.
    validatorUrl: null,
  });
});
