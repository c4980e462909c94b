"""Works out what CloudFormation makes of a template and parameters, as far as the text decides it.

Rules, constraints, conditions and functions are evaluated, also in nested stacks; what only AWS
knows, such as the ID of a subnet, is a value of the right form. The language is described in
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

Templates = Mapping[Path, dict[str, Any]]
"""Templates as plain data, by their files."""
PSEUDO = {
    "AWS::AccountId": "123456789012", "AWS::Partition": "aws", "AWS::Region": "us-east-1",
    "AWS::StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/voice/0a",
    "AWS::StackName": "voice", "AWS::URLSuffix": "amazonaws.com",
}  # fmt: skip
_NOTHING = object()
_IDS = {
    "AWS::EC2::VPC": "vpc-0a", "AWS::EC2::Subnet": "subnet-0a", "AWS::EC2::RouteTable": "rtb-0a",
    "AWS::ElasticLoadBalancingV2::LoadBalancer":
        "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/voice/0a",
    "AWS::ElasticLoadBalancingV2::TargetGroup":
        "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/voice/0a",
    "AWS::ECS::Service": "arn:aws:ecs:us-east-1:123456789012:service/voice/agent",
}  # fmt: skip
_ATTRIBUTES = {"GroupId": "sg-0a", "CanonicalHostedZoneID": "Z35SXDOTRQ7X7K"}
_FUNCTION = re.compile(r"Fn::\w+|Ref|Condition")


class RefusedError(Exception):
    """CloudFormation would say this sentence, and make nothing or take it back."""


class DanglingError(AssertionError):
    """The template is wrong: with these parameters it names what is not there."""


@dataclass(eq=False)
class Stack:
    """A template with parameters; `render` works out everything that is made.

    Raises `RefusedError` from its constraints and rules, and `DanglingError` from a reference to
    what is not made.
    """

    templates: Templates
    path: Path
    given: Mapping[str, str]
    pseudo: Mapping[str, str] = field(default_factory=lambda: PSEUDO)
    _nested: dict[str, Stack] = field(default_factory=dict)
    _values: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def template(self) -> dict[str, Any]:
        return self.templates[self.path]

    def _parameter(self, name: str) -> Any:
        if name not in self._values:
            self._values[name] = self._value(name, self.template["Parameters"][name])
        return self._values[name]

    def _value(self, name: str, declared: Mapping[str, Any]) -> Any:
        if name not in self.given and "Default" not in declared:
            raise DanglingError(f"{self.path.name} is not given {name}")
        text = str(self.given.get(name, declared.get("Default")))
        parts = text.split(",") if declared["Type"] == "CommaDelimitedList" else [text]
        fails = declared.get("ConstraintDescription", f"{text!r} is not what {name} can be.")
        for part in parts:
            if not re.fullmatch(declared.get("AllowedPattern", "(?s:.*)"), part):
                raise RefusedError(fails)
        if text not in map(str, declared.get("AllowedValues", [text])):
            raise RefusedError(fails)
        if declared["Type"] == "Number":
            number = float(text)
            if not declared.get("MinValue", number) <= number <= declared.get("MaxValue", number):
                raise RefusedError(fails)
        return parts if declared["Type"] == "CommaDelimitedList" else text

    def render(self) -> dict[str, Any]:
        """The resources that are made, with all references filled in, and the outputs."""
        declared = self.template.get("Parameters", {})
        if unknown := self.given.keys() - declared.keys():
            raise DanglingError(f"{self.path.name} has no parameter {sorted(unknown)}")
        for name in declared:
            self._parameter(name)
        self._obey_rules()
        made = {
            name: self._fill(resource)
            for name, resource in self.template["Resources"].items()
            if self._is_made(resource)
        }
        for name, resource in made.items():
            waits = resource.get("DependsOn", [])
            for other in waits if isinstance(waits, list) else [waits]:
                if other not in made:
                    raise DanglingError(f"{name} waits for {other}, which is not made")
        for name, resource in made.items():
            if resource["Type"] == "AWS::CloudFormation::Stack":
                self.nested(name).render()
        return {"Resources": made, "Outputs": self.outputs}

    def _obey_rules(self) -> None:
        for rule in self.template.get("Rules", {}).values():
            if "RuleCondition" not in rule or self.holds(rule["RuleCondition"]):
                for assertion in rule["Assertions"]:
                    if not self.holds(assertion["Assert"]):
                        raise RefusedError(assertion["AssertDescription"])

    def nested(self, name: str) -> Stack:
        """The nested stack of this name, with its parameters."""
        if name not in self._nested:
            properties = self.template["Resources"][name]["Properties"]
            file = self.path.parent / properties["TemplateURL"]
            own = {**self.pseudo, "AWS::StackName": f"{self.pseudo['AWS::StackName']}-{name}"}
            given = self._fill(properties["Parameters"])
            texts = {key: as_text(value) for key, value in given.items()}
            self._nested[name] = Stack(self.templates, file, texts, own)
        return self._nested[name]

    @cached_property
    def outputs(self) -> dict[str, Any]:
        return {
            name: self._fill(each["Value"])
            for name, each in self.template.get("Outputs", {}).items()
            if self._is_made(each)
        }

    def _is_made(self, part: Mapping[str, Any]) -> bool:
        return "Condition" not in part or self.holds({"Condition": part["Condition"]})

    def holds(self, node: Any) -> bool:
        """Whether a condition, or the assertion of a rule, is true."""
        ((kind, said),) = node.items()
        match kind:
            case "Condition":
                return self.holds(self.template["Conditions"][said])
            case "Fn::Not":
                return not self.holds(said[0])
            case "Fn::And":
                return all(self.holds(each) for each in said)
            case "Fn::Or":
                return any(self.holds(each) for each in said)
            case "Fn::Equals":
                return bool(self._fill(said[0]) == self._fill(said[1]))
            case "Fn::Contains":
                return bool(self._fill(said[1]) in self._fill(said[0]))
            case _:
                raise DanglingError(f"{kind} is no condition")

    def _fill(self, node: Any) -> Any:
        """A part of the template with the values of its functions."""
        if isinstance(node, list):
            return [each for each in map(self._fill, node) if each is not _NOTHING]
        if not isinstance(node, dict):
            return node
        if len(node) == 1 and _FUNCTION.fullmatch(next(iter(node))):
            ((function, said),) = node.items()
            if function != "Condition":
                return self._call(function, said)
        filled = {key: self._fill(value) for key, value in node.items()}
        return {key: value for key, value in filled.items() if value is not _NOTHING}

    def _call(self, function: str, said: Any) -> Any:
        match function:
            case "Ref":
                return self._reference(said)
            case "Fn::GetAtt":
                return self._attribute(*said)
            case "Fn::If":
                return self._fill(said[1] if self.holds({"Condition": said[0]}) else said[2])
            case "Fn::Sub":
                text, own = said if isinstance(said, list) else (said, {})
                return re.sub(r"\$\{([\w:.]+)\}", lambda found: self._named(found[1], own), text)
            case "Fn::GetAZs":
                return [f"{self.pseudo['AWS::Region']}{zone}" for zone in "abc"]
            case _:
                return self._of_values(function, self._fill(said))

    def _of_values(self, function: str, said: Any) -> Any:
        """A function of values that are all known."""
        match function, said:
            case "Fn::Join", [between, several]:
                return between.join(map(str, several))
            case "Fn::Split", [between, text]:
                return text.split(between)
            case "Fn::Select", [number, several]:
                if int(number) < len(several):
                    return several[int(number)]
                raise DanglingError(f"{several} has no item {number}")
            case "Fn::FindInMap", [name, first, second]:
                return self.template["Mappings"][name][first][second]
            case "Fn::Cidr", [block, count, bits]:
                return subnets(block, int(count), int(bits))
            case _:
                raise DanglingError(f"{function} is not known")

    def _named(self, name: str, own: Mapping[str, Any]) -> str:
        """What stands for `${name}` in a text."""
        if name in own:
            return as_text(self._fill(own[name]))
        resource, _, attribute = name.partition(".")
        return as_text(self._attribute(resource, attribute) if attribute else self._reference(name))

    def _reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NOTHING
        if name in self.pseudo:
            return self.pseudo[name]
        if name in self.template.get("Parameters", {}):
            return self._parameter(name)
        return _IDS.get(self._resource(name)["Type"], name)

    def _attribute(self, name: str, attribute: str) -> Any:
        resource = self._resource(name)
        if attribute.startswith("Outputs."):
            output = attribute.removeprefix("Outputs.")
            if output not in self.nested(name).outputs:
                raise DanglingError(f"{name} has no output {output}")
            return self.nested(name).outputs[output]
        if attribute == "CidrBlock":
            return self._fill(resource["Properties"]["CidrBlock"])
        if attribute.endswith("Arn"):
            service = resource["Type"].split("::")[1].lower()
            return f"arn:aws:{service}:{self.pseudo['AWS::Region']}:123456789012:{name}"
        return _ATTRIBUTES.get(attribute, f"{name}-{attribute}")

    def _resource(self, name: str) -> dict[str, Any]:
        resource: dict[str, Any] | None = self.template["Resources"].get(name)
        if resource is None:
            raise DanglingError(f"{self.path.name} has no {name}")
        if not self._is_made(resource):
            raise DanglingError(f"{name} of {self.path.name} is referred to and not made")
        return resource


def as_text(value: Any) -> str:
    """A value as a parameter or a text has it; lists have commas."""
    return ",".join(value) if isinstance(value, list) else str(value)


def subnets(block: str, count: int, host_bits: int) -> list[str]:
    """The first parts of a block of addresses; as many bits of each are the host's."""
    network = ipaddress.ip_network(block, strict=False)
    try:
        several = list(network.subnets(new_prefix=32 - host_bits))
    except ValueError as error:
        raise DanglingError(f"{block} has no parts of {host_bits} bits") from error
    if len(several) < count:
        raise DanglingError(f"{block} has no {count} parts of {host_bits} bits")
    return [str(each) for each in several[:count]]
