"""The API's description (OpenAPI 3.1), made from the route table, the models and the handlers themselves."""
