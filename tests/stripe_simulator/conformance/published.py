"""Stripe's published types: where they lie, and what an answer is held to."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.stripe_simulator.conformance.declarations import (
    Interface,
    Literal,
    Mapping,
    Named,
    Scope,
    Type,
    Union,
    read,
)

PACKAGE = Path(__file__).parents[3] / ".tools" / "npm" / "node_modules" / "stripe"
_RESOURCES = PACKAGE / "esm" / "resources"
_PRIMITIVES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    # JSON has it as a string
    "Decimal": (str,),
    "OtherString": (str,),
}
_MODULES = {
    "billing.meter": ("Billing/Meters", "Meter"),
    "billing.meter_event": ("Billing/MeterEvents", "MeterEvent"),
    "billing.meter_event_summary": ("Billing/MeterEventSummaries", "MeterEventSummary"),
    "credit_note": ("CreditNotes", "CreditNote"),
    "credit_note_line_item": ("CreditNoteLineItems", "CreditNoteLineItem"),
    "customer": ("Customers", "Customer"),
    "event": ("Events", "EventBase"),
    "invoice": ("Invoices", "Invoice"),
    "invoiceitem": ("InvoiceItems", "InvoiceItem"),
    "line_item": ("InvoiceLineItems", "InvoiceLineItem"),
    "plan": ("Plans", "Plan"),
    "price": ("Prices", "Price"),
    "product": ("Products", "Product"),
    "subscription": ("Subscriptions", "Subscription"),
    "subscription_item": ("SubscriptionItems", "SubscriptionItem"),
    "subscription_schedule": ("SubscriptionSchedules", "SubscriptionSchedule"),
}
_THIN = {
    "v1.billing.meter.error_report_triggered": "V1BillingMeterErrorReportTriggeredEvent",
    "v1.billing.meter.no_meter_found": "V1BillingMeterNoMeterFoundEvent",
}


@dataclass(frozen=True)
class _Place:
    """A type and where its names are looked up: the module, and the namespaces around it."""

    module: Path
    namespaces: tuple[str, ...]
    type: Type


@dataclass
class Conformance:
    """What answers were seen to be like, and where they are not as published.

    Parameters
    ----------
    complaints
        ``Type.field: what is wrong``.
    seen, declared
        ``Type.field`` of each field that an answer had, and of each that its types have.
    """

    complaints: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    declared: set[str] = field(default_factory=set)
    _modules: dict[Path, Scope] = field(default_factory=dict)

    @cached_property
    def version(self) -> str:
        """The API version that the types are of."""
        text = (PACKAGE / "esm" / "apiVersion.d.ts").read_text(encoding="utf-8")
        return text.partition('"')[2].partition('"')[0]

    def check(self, answer: Any) -> None:
        """Hold the body of an answer to the type of the object that it says it is."""
        kind = answer.get("object")
        if kind == "list" or "next_page_url" in answer:
            for name in () if kind == "list" else ("previous_page_url", "next_page_url"):
                assert name in answer
            for one in answer["data"]:
                self.check(one)
            return
        if kind == "v2.core.event":
            name = _THIN[answer["type"]] + ("" if "data" in answer else "Notification")
            module = "V2/Core/Events"
        else:
            module, name = _MODULES[kind]
            name = f"Deleted{name}" if answer.get("deleted") else name
        place = _Place(_RESOURCES / f"{module}.d.ts", (), Named((name,)))
        self._hold(answer, place, name)

    def _hold(self, value: object, place: _Place, name: str) -> None:
        if not self._fits(value, place, name):
            self.complaints.add(f"{name}: {_shown(value)} is not of its type")

    def _fits(self, value: object, place: _Place, name: str) -> bool:
        """Whether a value is of a type; what is inside of it complains for itself."""
        fits = False
        match place.type:
            case Union(members=members):
                places = [_Place(place.module, place.namespaces, member) for member in members]
                fits = any(self._fits(value, one, name) for one in places)
            case Literal(value=literal):
                fits = value == literal and type(value) is type(literal)
            case Mapping(value=inner):
                of = _Place(place.module, place.namespaces, inner)
                fits = isinstance(value, dict) and all(self._fits(one, of, name) for one in value.values())
            case Interface(values=inner) if inner is not None:
                fits = self._fits(value, _Place(place.module, place.namespaces, Mapping(inner)), name)
            case Interface():
                fits = isinstance(value, dict) and self._fits_fields(value, place, name)
            case Named(path=path, arguments=arguments):
                fits = self._fits_named(value, place, path, arguments, name)
        return fits

    def _fits_named(
        self, value: object, place: _Place, path: tuple[str, ...], arguments: tuple[Type, ...], name: str
    ) -> bool:
        if path[-1] in _PRIMITIVES and len(path) == 1:
            wanted = _PRIMITIVES[path[0]]
            return isinstance(value, wanted) and (wanted == (bool,) or not isinstance(value, bool))
        if path in {("null",), ("void",)}:
            return value is None
        if path == ("Array",):
            inner = _Place(place.module, place.namespaces, arguments[0])
            return isinstance(value, list) and all(self._fits(one, inner, name) for one in value)
        if path == ("ApiList",):
            return self._fits_list(value)
        if not isinstance(value, str | dict):
            return False
        found = self._found(place, path)
        assert found is not None, f"{name}: {'.'.join(path)} is not declared"
        return self._fits(value, found, _name(found, path))

    def _fits_list(self, value: object) -> bool:
        if not isinstance(value, dict) or not {"object", "data", "has_more", "url"} <= set(value):
            return False
        self.check(value)
        return True

    def _fits_fields(self, value: dict[str, Any], place: _Place, name: str) -> bool:
        if name == "Event.Data.Object":
            self.check(value)
            return True
        fields = dict(self._fields(place))
        for one, (declared, where) in fields.items():
            if declared.type == Named(("void",)):
                continue
            self.declared.add(f"{name}.{one}")
            if one in value:
                self.seen.add(f"{name}.{one}")
                if value[one] is None and declared.optional and _is_v2(where.module):
                    continue
                self._hold(value[one], where, f"{name}.{one}")
            elif not declared.optional:
                self.complaints.add(f"{name}.{one}: absent")
        for one in value.keys() - fields.keys():
            self.complaints.add(f"{name}.{one}: not in the type")
        return True

    def _fields(self, place: _Place) -> Iterator[tuple[str, tuple[Any, _Place]]]:
        assert isinstance(place.type, Interface)
        for parent in place.type.extends:
            assert isinstance(parent, Named)
            above = parent.arguments[0] if parent.path == ("Omit",) else parent
            assert isinstance(above, Named)
            found = self._found(place, above.path)
            assert found is not None
            yield from self._fields(found)
        for name, declared in place.type.fields.items():
            yield name, (declared, _Place(place.module, place.namespaces, declared.type))

    def _found(self, place: _Place, path: tuple[str, ...]) -> _Place | None:
        """The type that a name stands for, looked up from the innermost namespace outwards."""
        for depth in range(len(place.namespaces), -1, -1):
            around = place.namespaces[:depth]
            found = self._within(place.module, around, path)
            if found is not None:
                return found
        imported = self._module(place.module).imports.get(path[0])
        if imported is None:
            return None
        source, exported = imported
        module = (place.module.parent / source).resolve().with_suffix(".d.ts")
        if exported == "*":
            return self._found(_Place(module, (), place.type), path[1:])
        return self._found(_Place(module, (), place.type), (exported, *path[1:]))

    def _within(self, module: Path, around: tuple[str, ...], path: tuple[str, ...]) -> _Place | None:
        scope: Scope | None = self._module(module)
        namespaces = (*around, *path[:-1])
        for name in namespaces:
            scope = scope.namespaces.get(name) if scope else None
        if scope is None or path[-1] not in scope.types:
            return None
        # an interface's own names are in the namespace of its name
        inside = (*namespaces, path[-1]) if path[-1] in scope.namespaces else namespaces
        return _Place(module, inside, scope.types[path[-1]])

    def _module(self, path: Path) -> Scope:
        if path not in self._modules:
            self._modules[path] = read(path.read_text(encoding="utf-8"))
        return self._modules[path]


def _name(found: _Place, path: tuple[str, ...]) -> str:
    around = found.namespaces
    return ".".join(around if around[-1:] == path[-1:] else (*around, path[-1]))


def _is_v2(module: Path) -> bool:
    """Whether a type is of the second API, whose optional fields its reference calls nullable.

    Its example of an event has ``context`` and ``reason`` null and no ``changes``: both are sent.
    """
    return module.is_relative_to(_RESOURCES / "V2")


def _shown(value: object) -> str:
    return "an object" if isinstance(value, dict | list) else repr(value)
