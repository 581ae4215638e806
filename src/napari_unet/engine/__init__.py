"""Engine: where work runs - a worker process, another machine, a cluster.

Whoever calls holds neither torch nor a network: settings, a model's path and pixels go
out, events and tiles come back.
"""
