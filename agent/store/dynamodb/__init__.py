"""The table in DynamoDB: for more than one machine, and for the data of the predecessor.

`dynamodb_client` has the SDK and the schema, `dynamodb_table` is `ports.Store` on it.
"""

from agent.store.dynamodb.dynamodb_client import DynamoDBTimeouts, create_table
from agent.store.dynamodb.dynamodb_table import DynamoDBStore

__all__ = ["DynamoDBStore", "DynamoDBTimeouts", "create_table"]
