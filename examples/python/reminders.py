"""Reads tasks, a JSON array of strings, and reminds of each when its time has come. Knows nothing of Everstep."""

import json
import random
import sys
import time
import uuid
from datetime import datetime, timezone

from wit_world import exports


class Run(exports.Run):
    """What `wasi:cli/run` calls."""

    def run(self) -> None:
        started = time.monotonic()
        tasks = json.load(sys.stdin)
        random.shuffle(tasks)
        reminders = []
        for task in tasks:
            reminder = {"id": str(uuid.uuid4()), "task": task, "noted": datetime.now(timezone.utc).isoformat()}
            time.sleep(0.2)
            time.sleep(1)
            print(f"reminder {reminder['id']}: {task}", file=sys.stderr)
            reminders.append({**reminder, "after": time.monotonic() - started})
        print(json.dumps(reminders))
