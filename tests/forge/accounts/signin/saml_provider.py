"""A SAML identity provider, run as a process: `python -m … PORT FOLDER`; pysaml2 reads the request and answers it.

FOLDER holds `key.pem`, `cert.pem` and `sp.xml`, Forge's metadata. Whoever asks names the person in `?as=` (an e-mail,
the NameID) and, to go wrong on purpose, `&fault=`: unsigned, another_key, another_audience, expired, tampered.
"""

from __future__ import annotations

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import xmlsec
from lxml import etree
from saml2 import BINDING_HTTP_REDIRECT
from saml2.config import IdPConfig
from saml2.saml import NAME_FORMAT_URI, NAMEID_FORMAT_PERSISTENT, NameID
from saml2.server import Server
from saml2.sigver import CryptoBackend
from saml2.xmldsig import DIGEST_SHA256, SIG_RSA_SHA256

PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"


class LibraryCrypto(CryptoBackend):
    """Signs by the xmlsec library that is installed with Forge, in place of the xmlsec1 program."""

    def sign_statement(self, statement, node_name, key_file, node_id):
        document = etree.fromstring(statement if isinstance(statement, bytes) else str(statement).encode())
        xmlsec.tree.add_ids(document, ["ID"])
        context = xmlsec.SignatureContext()
        context.key = xmlsec.Key.from_file(key_file, xmlsec.KeyFormat.PEM)
        signed = document.xpath(f"//*[@ID='{node_id}']/*[local-name()='Signature']")[0]
        context.sign(signed)
        return etree.tostring(document).decode()


def build(port, folder, *, key="key.pem", minutes=5):
    """pysaml2's server for the metadata of Forge in the folder."""
    base = f"http://127.0.0.1:{port}"
    config = IdPConfig().load(
        {
            "entityid": f"{base}/idp",
            "xmlsec_binary": sys.executable,  # asked for, never run: LibraryCrypto signs
            "key_file": str(folder / key),
            "cert_file": str(folder / "cert.pem"),
            "metadata": {"local": [str(folder / "sp.xml")]},
            "service": {
                "idp": {
                    "endpoints": {"single_sign_on_service": [(f"{base}/sso", BINDING_HTTP_REDIRECT)]},
                    "policy": {
                        "default": {
                            "lifetime": {"minutes": minutes},
                            "attribute_restrictions": None,
                            "name_form": NAME_FORMAT_URI,
                        }
                    },
                }
            },
        }
    )
    server = Server(config=config)
    server.sec.crypto = LibraryCrypto()
    return server


class Provider(BaseHTTPRequestHandler):
    port, folder = 0, Path()

    def do_GET(self):
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        self.send_response(200)
        self.end_headers()
        if "SAMLRequest" in query:
            self.wfile.write(json.dumps(self._answer(query)).encode())

    def log_message(self, *args):
        """Nothing: the test reads answers."""

    def _answer(self, query):
        fault = query.get("fault")
        key, minutes = "other.pem" if fault == "another_key" else "key.pem", -30 if fault == "expired" else 5
        server = build(self.port, self.folder, key=key, minutes=minutes)
        asked = server.parse_authn_request(query["SAMLRequest"], BINDING_HTTP_REDIRECT).message
        response = server.create_authn_response(
            identity={"mail": query["as"], "givenName": "Ada", "sn": "Arroway"},
            in_response_to=asked.id,
            destination=asked.assertion_consumer_service_url,
            sp_entity_id="urn:another" if fault == "another_audience" else asked.issuer.text,
            name_id=NameID(format=NAMEID_FORMAT_PERSISTENT, text=f"id-of-{query['as']}"),
            authn={"class_ref": PASSWORD, "authn_auth": server.config.entityid},
            sign_assertion=fault != "unsigned",
            sign_response=False,
            sign_alg=SIG_RSA_SHA256,
            digest_alg=DIGEST_SHA256,
        )
        text = str(response)
        if fault == "tampered":
            text = text.replace(query["as"], "boss@acme.example")
        return {
            "action": asked.assertion_consumer_service_url,
            "SAMLResponse": base64.b64encode(text.encode()).decode(),
            "RelayState": query.get("RelayState", ""),
        }


if __name__ == "__main__":
    Provider.port, Provider.folder = int(sys.argv[1]), Path(sys.argv[2])
    HTTPServer(("127.0.0.1", Provider.port), Provider).serve_forever()
