"""What is counted of a coverage report: the branches of the project's own contracts."""

from scripts.assurance.coverage import Coverage, parse

REPORT = """TN:
SF:/somewhere/contracts/libraries/Roster.sol
BRDA:10,0,0,3
BRDA:10,0,1,0
BRDA:12,1,0,-
end_of_record
SF:contracts/NodeRegistry.sol
BRDA:7,0,0,1
end_of_record
SF:contracts/test/Suite.sol
BRDA:1,0,0,0
end_of_record
SF:contracts/interfaces/INodeRegistry.sol
BRDA:1,0,0,0
end_of_record
SF:node_modules/@openzeppelin/contracts/utils/Strings.sol
BRDA:1,0,0,0
end_of_record
"""


def test_only_own_contracts_count() -> None:
    assert parse(REPORT) == [
        Coverage("contracts/libraries/Roster.sol", 1, (10, 12)),
        Coverage("contracts/NodeRegistry.sol", 1, ()),
    ]
    assert parse(REPORT)[0].total == 3
