"""Support for tests of several rooms: small models, logs, servers, a browser."""
