"""What tests of several rooms use: small models, logs, servers, a browser."""
