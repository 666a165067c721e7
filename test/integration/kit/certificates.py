"""A certificate authority made by the openssl command, and what it has signed, good and bad.

Made once a process, in a folder that goes with it.
"""

import atexit
import functools
import os
import shutil
import ssl
import subprocess
import tempfile

CONFIG = """
[req]
distinguished_name = dn
prompt = no
[dn]
CN = hookwheel test
[ca]
default_ca = this
[this]
dir = {folder}
database = $dir/index.txt
serial = $dir/serial
new_certs_dir = $dir
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""

LEAF = """
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = {names}
"""

LOCAL = "DNS:localhost, DNS:*.example.test, IP:127.0.0.1, IP:::1"
PAST = ("20200101000000Z", "20210101000000Z")
NOW = ("20240101000000Z", "20440101000000Z")
FUTURE = ("20400101000000Z", "20440101000000Z")


class Authority:
    """ca: the file to trust.  Leaves by name: good, expired, future, wrong_name, no_address,
    stranger (signed by an authority nobody trusts), self_signed."""

    def __init__(self, folder):
        self.folder = folder
        self.ca = self._make_root("ca")
        self._sign("good", "ca", LOCAL, NOW)
        self._sign("expired", "ca", LOCAL, PAST)
        self._sign("future", "ca", LOCAL, FUTURE)
        self._sign("wrong_name", "ca", "DNS:elsewhere.test", NOW)
        self._sign("no_address", "ca", "DNS:localhost", NOW)
        self._make_root("other")
        self._sign("stranger", "other", LOCAL, NOW)
        self._make_self_signed("self_signed")

    def path(self, name):
        return os.path.join(self.folder, name)

    def context(self, name="good"):
        return server_context(self.folder, name)

    def _openssl(self, *words):
        done = subprocess.run(["openssl", *words], cwd=self.folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise AssertionError("openssl {}: {}".format(words[0], done.stdout.decode()))

    def _make_key(self, name):
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", name + ".key")

    def _make_root(self, name):
        own = self.path(name)
        os.mkdir(own)
        for file, text in (("openssl.cnf", CONFIG.format(folder=own)), ("index.txt", ""),
                           ("serial", "1000\n")):
            with open(os.path.join(own, file), "w", encoding="ascii") as out:
                out.write(text)
        self._make_key(name)
        self._openssl("req", "-x509", "-new", "-key", name + ".key", "-days", "3650",
                      "-config", own + "/openssl.cnf", "-extensions", "root",
                      "-subj", "/CN=hookwheel test " + name, "-out", name + ".pem")
        return self.path(name + ".pem")

    def _sign(self, name, by, names, valid):
        self._make_key(name)
        with open(self.path(name + ".ext"), "w", encoding="ascii") as out:
            out.write(LEAF.format(names=names))
        self._openssl("req", "-new", "-key", name + ".key", "-config", by + "/openssl.cnf",
                      "-subj", "/CN=" + name, "-out", name + ".csr")
        self._openssl("ca", "-batch", "-notext", "-config", by + "/openssl.cnf",
                      "-cert", by + ".pem", "-keyfile", by + ".key", "-in", name + ".csr",
                      "-extfile", name + ".ext", "-startdate", valid[0], "-enddate", valid[1],
                      "-out", name + ".pem")

    def _make_self_signed(self, name):
        self._make_key(name)
        self._openssl("req", "-x509", "-new", "-key", name + ".key", "-days", "3650",
                      "-config", "ca/openssl.cnf", "-subj", "/CN=localhost",
                      "-addext", "subjectAltName=" + LOCAL, "-out", name + ".pem")


def server_context(folder, name):
    """A server's side of TLS with that leaf."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    base = os.path.join(folder, name)
    context.load_cert_chain(base + ".pem", base + ".key")
    return context


@functools.lru_cache(maxsize=None)
def authority():
    folder = tempfile.mkdtemp(prefix="hookwheel-certificates-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Authority(folder)
