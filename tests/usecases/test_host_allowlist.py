"""Whom configured tools may talk to: every way we know to get out of the list is refused."""

from __future__ import annotations

import pytest

from agent.errors import UseCaseError
from agent.tools.http import fault_of
from agent.tools.http.outbound_http import HttpRequest, OutboundHttp, UnreachableError
from agent.usecases.host_allowlist import HostAllowlist, Secret, SecretRule, read_host
from agent.usecases.http_tool import read_http_tools
from tests.tools.http.stand_in import Names

HOSTS = HostAllowlist.read(
    "api.example.com, *.shop.example:8443, http://orders.test:8080=10.1.0.0/16"
)

HOSTILE_URLS = {
    "another host": "https://evil.example/",
    "metadata": "https://169.254.169.254/latest/meta-data/",
    "metadata without TLS": "http://169.254.169.254/latest/meta-data/",
    "metadata by name": "http://metadata.google.internal/",
    "metadata, decimal": "http://2852039166/",
    "metadata, hex": "http://0xa9fea9fe/",
    "metadata, hex parts": "http://0xa9.0xfe.0xa9.0xfe/",
    "metadata, octal": "http://0251.0376.0251.0376/",
    "metadata, mixed": "http://169.254.43518/",
    "metadata, mapped": "http://[::ffff:169.254.169.254]/",
    "metadata, mapped in hex": "http://[::ffff:a9fe:a9fe]/",
    "metadata, NAT64": "http://[64:ff9b::a9fe:a9fe]/",
    "metadata, 6to4": "http://[2002:a9fe:a9fe::]/",
    "metadata, IPv6": "http://[fd00:ec2::254]/",
    "loopback": "https://127.0.0.1/",
    "loopback, short": "https://127.1/",
    "loopback, decimal": "https://2130706433/",
    "loopback, octal": "https://0177.0.0.1/",
    "loopback, zero": "https://0/",
    "loopback, IPv6": "https://[::1]/",
    "loopback, IPv6 in full": "https://[0:0:0:0:0:0:0:1]/",
    "loopback by name": "https://localhost/",
    "unspecified": "https://0.0.0.0/",
    "unspecified, IPv6": "https://[::]/",
    "link-local with scope": "https://[fe80::1%25eth0]/",
    "private": "https://10.0.0.1/",
    "address of a listed host's range": "http://10.1.2.3:8080/",
    "shared": "https://100.64.0.1/",
    "user name": "https://api.example.com@evil.example/",
    "user name and word": "https://api.example.com:443@evil.example/",
    "user name at a listed host": "https://user:word@api.example.com/",
    "backslash": "https://evil.example\\@api.example.com/",
    "fragment before the host ends": "https://evil.example#@api.example.com/",
    "query before the host ends": "https://evil.example?@api.example.com/",
    "encoded host": "https://api%2eexample%2ecom/",
    "encoded slash in the host": "https://evil.example%2fapi.example.com/",
    "placeholder in the host": "https://{host}/",
    "placeholder below the host": "https://{name}.shop.example:8443/",
    "placeholder as the port": "https://api.example.com:{port}/",
    "placeholder as the scheme": "{scheme}://api.example.com/",
    "trailing dot": "https://api.example.com./",
    "longer name": "https://api.example.com.evil.example/",
    "name in front": "https://evilapi.example.com/",
    "below a host listed exactly": "https://a.api.example.com/",
    "the top of a wildcard": "https://shop.example:8443/",
    "another name that ends so": "https://evilshop.example:8443/",
    "another port": "https://api.example.com:22/",
    "no TLS": "http://api.example.com/",
    "no TLS on its port": "http://api.example.com:443/",
    "TLS where none is listed": "https://orders.test:8080/",
    "port that is none": "https://api.example.com:99999/",
    "port zero": "https://api.example.com:0/",
    "file": "file:///etc/passwd",
    "gopher": "gopher://api.example.com/",
    "no scheme": "//api.example.com/",
    "line break": "https://api.example.com\r\nHost: evil.example/",
    "tab": "https://api.exa\tmple.com/",
    "full-width letters": "https://ａpi.example.com/",  # noqa: RUF001 (that is the trick)
    "full-width dot": "https://api。example.com/",
    "circled digits": "https://①②⑦.⓪.⓪.①/",
    "soft hyphen": "https://api.exam\u00adple.com/",
    "empty host": "https:///etc/passwd",
    "brackets around a name": "https://[api.example.com]/",
    "parent of the path": "https://api.example.com/a/../admin",
    "encoded parent": "https://api.example.com/a/%2e%2e/admin",
}
"""Every URL as an editor of a record might write it."""


def refusal(url: str) -> str:
    """Why a tool with this URL is not offered; empty if it is."""
    table = {"T": {"description": "Looks.", "url": url}}
    try:
        (tool,) = read_http_tools(table, "http_tools")
    except UseCaseError as error:
        return str(error)
    return fault_of(tool, HOSTS, {})


@pytest.mark.parametrize("url", HOSTILE_URLS.values(), ids=HOSTILE_URLS.keys())
def test_hostile_url_is_refused_where_it_is_read(url: str) -> None:
    """The tool is a fault of its use case, or is not offered."""
    assert refusal(url).partition(":")[0] in {"http_tools.T.url", "url"}


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com",
        "https://api.example.com/",
        "https://API.Example.COM:443/v1/things",
        "https://eu.shop.example:8443/",
        "https://a.b.shop.example:8443/?x=1",
        "http://orders.test:8080/",
    ],
)
def test_listed_url_is_offered(url: str) -> None:
    """The table above would mean nothing if everything were refused."""
    assert refusal(url) == ""


FORBIDDEN_ADDRESSES = [
    "127.0.0.1", "127.8.8.8", "0.0.0.1", "10.0.0.1", "10.255.0.1", "172.16.0.1", "192.168.1.1",
    "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200", "192.0.0.192",
    "198.18.0.1", "192.0.2.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::",
    "2001:0:7f00:1::", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254",
    "ff02::1", "2001:db8::1", "::7f00:1", "100::1", "not an address",
]  # fmt: skip


def test_listed_name_leads_to_no_address_inside() -> None:
    """A name is only a promise; public addresses count, also through NAT64."""
    public = ["93.184.215.14", "2606:4700::1111", "64:ff9b::5db8:d70e"]
    addresses = FORBIDDEN_ADDRESSES + public

    admitted = [each for each in addresses if HOSTS.admits("api.example.com", 443, each)]

    assert admitted == public


def test_range_is_admitted_for_its_host_alone() -> None:
    """What is listed for the orders is no way to anything else."""
    assert HOSTS.admits("orders.test", 8080, "10.1.2.3")
    assert HOSTS.admits("orders.test", 8080, "::ffff:10.1.2.3")
    assert not HOSTS.admits("orders.test", 8080, "10.2.0.1")
    assert not HOSTS.admits("orders.test", 8081, "10.1.2.3")
    assert not HOSTS.admits("api.example.com", 443, "10.1.2.3")


def test_metadata_stays_out_even_within_a_range() -> None:
    """Nothing an agent may ask for is there."""
    hosts = HostAllowlist.read("orders.test=0.0.0.0/0,vpn.test=100.64.0.0/10")

    assert hosts.admits("orders.test", 443, "192.168.0.1")
    assert not hosts.admits("orders.test", 443, "169.254.169.254")
    assert hosts.admits("vpn.test", 443, "100.64.0.1")
    assert not hosts.admits("vpn.test", 443, "100.100.100.200")


def test_address_that_is_listed_is_exactly_this_one() -> None:
    """As it is written in the list, in any spelling of the same address."""
    hosts = HostAllowlist.read("http://127.0.0.1:8080,[2001:db8::7]:8443")

    assert hosts.lists("http", "127.0.0.1", 8080)
    assert hosts.admits("127.0.0.1", 8080, "127.0.0.1")
    assert not hosts.admits("127.0.0.1", 8080, "127.0.0.2")
    assert hosts.lists("https", read_host("[2001:0db8:0::0007]"), 8443)
    assert hosts.admits("2001:db8::7", 8443, "2001:db8::7")


@pytest.mark.parametrize(
    "entry",
    [
        "*", "*.com", "*.", "*example.com", "a.*.example.com", "*.127.0.0.1", "api.example.com/",
        "https://", "ftp://api.example.com", "api.example.com:0", "api.example.com:70000",
        "user@api.example.com", "api_.example.com", "-a.example.com", "1.2.3", "0x7f.1", "::1",
        "[::1", "[127.0.0.1]", "169.254.169.254", "[fd00:ec2::254]", "a.test=169.254.0.0/16",
        "a.test=10.1.2.3/8", "a.test=nowhere", "a..b", "a b", "[fe80::1%25lo]",
    ],
)  # fmt: skip
def test_entry_that_cannot_be_meant_is_refused(entry: str) -> None:
    """Start-up stops at a slip of the pen; it is not left out."""
    with pytest.raises(ValueError, match=r".+"):
        HostAllowlist.read(f"api.example.com,{entry}")


def test_list_reads_back_as_it_was_written() -> None:
    """For `check --settings`; nothing listed is nothing allowed."""
    listed = "api.example.com,*.shop.example"
    assert str(HostAllowlist.read(" api.example.com , *.shop.example")) == listed
    assert str(HostAllowlist()) == ""
    assert not HostAllowlist().lists("https", "api.example.com", 443)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254"])
async def test_name_that_leads_inside_is_not_connected_to(address: str) -> None:
    """Nothing is sent; the fault is that of a host that cannot be reached."""
    async with OutboundHttp.open(HOSTS, Names([address])) as outbound:
        with pytest.raises(UnreachableError):
            await outbound.send(HttpRequest("GET", "https", "api.example.com", 443, "/", {}), 2.0)


@pytest.mark.parametrize(
    "request_",
    [
        HttpRequest("GET", "https", "evil.example", 443, "/", {}),
        HttpRequest("GET", "http", "api.example.com", 443, "/", {}),
        HttpRequest("GET", "https", "api.example.com", 444, "/", {}),
        HttpRequest("GET", "https", "127.0.0.1", 443, "/", {}),
        HttpRequest("GET", "http", "10.1.2.3", 8080, "/", {}),
    ],
    ids=lambda request: f"{request.scheme} {request.host} {request.port}",
)
async def test_host_is_looked_up_again_when_something_is_sent(request_: HttpRequest) -> None:
    """Whatever a record or a plan of the ledger says."""
    async with OutboundHttp.open(HOSTS, Names()) as outbound:
        with pytest.raises(UnreachableError, match="not listed"):
            await outbound.send(request_, 2.0)


@pytest.mark.parametrize(
    ("listed", "goes", "stays"),
    [
        ("api.example.com", "https api.example.com 443", "https example.com 443"),
        ("api.example.com", "https api.example.com 443", "http api.example.com 443"),
        ("*.example.com:8443", "https a.example.com 8443", "https a.example.com 443"),
        ("http://10.1.2.3", "http 10.1.2.3 80", "http 10.1.2.4 80"),
        ("[2001:db8::1]", "https 2001:db8::1 443", "https 2001:db8::2 443"),
    ],
)
def test_secret_goes_to_its_host_and_to_no_other(listed: str, goes: str, stays: str) -> None:
    """Scheme and port count as well; a name alone goes everywhere."""
    rule = SecretRule.read(f"TOKEN@{listed}")
    secret, free = Secret("t", (rule,)), Secret("t", (SecretRule.read("TOKEN"),))

    def may_go(each: Secret, to: str) -> bool:
        scheme, host, port = to.split()
        return each.may_go_to(scheme, host, int(port))

    assert may_go(secret, goes) and not may_go(secret, stays)
    assert may_go(free, goes) and may_go(free, stays)
    assert str(rule) == f"TOKEN@{listed}"
    assert "t'" not in repr(secret)
