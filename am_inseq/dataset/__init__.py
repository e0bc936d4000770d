"""Attribution of whole datasets: plan shards, run a shard, commit it; resumable after any kill.

`plan.py` cuts rows into shards, `work.py` runs one, `folder.py` commits it, `engines.py` decides
where shards run, `run.py` puts the four together, `attributions.py` reads what was committed.
"""
