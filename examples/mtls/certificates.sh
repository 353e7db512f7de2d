#!/bin/sh
# Makes an authority, a certificate for localhost, and one for a client called ann; good for a month.
set -eu
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
signed() { # name, extensions
    key "$1"
    openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
    printf '%s\n' "$2" > "$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile "$1.ext" -out "$1.pem"
    rm "$1.csr" "$1.ext"
}
key ca
openssl req -x509 -new -key ca.key -subj "/CN=an authority to try with" -days 30 -out ca.pem
signed localhost "subjectAltName=DNS:localhost,IP:127.0.0.1"
signed ann "extendedKeyUsage=clientAuth"
