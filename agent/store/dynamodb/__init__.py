"""The table in DynamoDB: for more than one machine, and for the data of the predecessor.

`dynamodb_client` calls the SDK with time limits and repetitions, checks a table at start-up and
creates one for local engines; `dynamodb_table` is `ports.Store` on it. The permissions that serving
needs are in `agent.store.schema`; only `create_table` needs more.
"""

from agent.store.dynamodb.dynamodb_client import DynamoDBTimeouts, create_table
from agent.store.dynamodb.dynamodb_table import DynamoDBStore

__all__ = ["DynamoDBStore", "DynamoDBTimeouts", "create_table"]
