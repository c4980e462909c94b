"""The table in DynamoDB: for more than one machine, and for the data of the predecessor.

    attributes   PURE: values of JSON <-> attribute values of DynamoDB
    connection   one client of the SDK: time limits, repetitions, errors of the port
    table        `ports.Store` on it
    startup      can this process use that table? and making one for a local engine

The permissions it needs are GetItem, BatchGetItem, Query (also on the index), PutItem, UpdateItem
and, for the first half of `move`, DeleteItem. Only `create_table`, which no deployment runs, needs
more.
"""

from agent.store.dynamodb.dynamodb_client import DynamoDBTimeouts
from agent.store.dynamodb.dynamodb_startup import create_table
from agent.store.dynamodb.dynamodb_table import DynamoDBStore

__all__ = ["DynamoDBStore", "DynamoDBTimeouts", "create_table"]
