"""A POS that calls Tillside, with the standard library alone: a sale is priced, redeemed and closed.

TILL and TOKEN are what `tillside mock` prints, or `tillside pos-token` on a register: python pos_client.py TS10015857B
"""

import json
import os
import sys
from datetime import datetime
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

TILL = build_opener(ProxyHandler({}))  # on this machine: no proxy stands in between
LINES = [
    {"position": 1, "description": "Kafa mlevena Jutro 200g", "quantity": "2", "amount_minor": 77998},
    {"position": 2, "description": "Hleb beli Savin 500g", "amount_minor": 7999},
]
TOTAL = sum(line["amount_minor"] for line in LINES)


def ask(method: str, path: str, key: str, body: dict) -> dict:
    """What the register answers. Raises HTTPError where it refuses, another OSError where it does not answer."""
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}", "Idempotency-Key": key}
    headers["Content-Type"] = "application/json"
    request = Request(f"{os.environ['TILL']}/v1{path}", json.dumps(body).encode(), headers, method=method)
    with TILL.open(request, timeout=3) as answer:
        return json.load(answer)


def sell(card: str) -> None:
    now = datetime.now().astimezone()
    number = f"{now:%H%M%S%f}"  # a POS counts
    receipt = {"kind": "sale", "currency": "RSD", "total_minor": TOTAL, "lines": LINES}
    basket = dict(receipt)
    ours = f"{now:%Y-%m-%d}-{number}"  # numbers may start again every day; keys may not
    receipt |= {"number": number, "business_day": f"{now:%Y-%m-%d}", "issued_at": now.isoformat()}
    receipt["member"] = {"code": card, "kind": "card", "entry": "scanned"}
    close = "/receipts"  # where a receipt goes that has no sale here
    try:
        sale = ask("POST", "/sales", f"{ours}-open", {"basket": basket})["sale"]
        close = f"/sales/{sale}/close"
        priced = ask("POST", f"/sales/{sale}/member", f"{ours}-member", {"code": card})
        reward = next((one for one in priced["rewards"] if one["times"]), None)
        if reward:
            ask("POST", f"/sales/{sale}/redemptions", f"{ours}-reward", {"reward": reward["reward"]})
            receipt["discounts"] = [{"description": reward["title"], "amount_minor": reward["discount_minor"]}]
            receipt["total_minor"] -= reward["discount_minor"]
    except HTTPError as refused:
        print(json.load(refused)["detail"], file=sys.stderr)  # for the cashier; the sale goes on
        if refused.code >= 500:
            close = "/receipts"  # it could not keep what was asked: as if it had not answered
    except OSError as silent:
        print(f"sold without points: {silent}", file=sys.stderr)
        close = "/receipts"  # a reward whose answer did not come was not given
    receipt["tenders"] = [{"kind": "cash", "amount_minor": receipt["total_minor"]}]
    print(json.dumps(ask("POST", close, f"{ours}-close", receipt)))  # a POS keeps it and repeats until answered


if __name__ == "__main__":
    sell(sys.argv[1])
