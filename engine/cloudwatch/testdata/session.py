# A session of boto3: what it puts, it gets back; a large body goes compressed.
import datetime

import boto3

c = boto3.client("cloudwatch")
now = datetime.datetime.now(datetime.timezone.utc)
c.put_metric_data(Namespace="big", MetricData=[
    {"MetricName": "m%04d" % i, "Dimensions": [{"Name": "i", "Value": str(i)}], "Values": [float(j) for j in range(20)]}
    for i in range(600)])
pages = list(c.get_paginator("list_metrics").paginate(Namespace="big"))
assert [len(p["Metrics"]) for p in pages] == [500, 100], pages

c.put_metric_data(Namespace="t", MetricData=[
    {"MetricName": "m", "Timestamp": now - datetime.timedelta(minutes=i), "Value": i, "Unit": "Count"} for i in range(30)])
stat = {"Metric": {"Namespace": "t", "MetricName": "m"}, "Period": 60, "Stat": "Sum"}
values = []
for p in c.get_paginator("get_metric_data").paginate(
        ScanBy="TimestampAscending", StartTime=now - datetime.timedelta(hours=1), EndTime=now + datetime.timedelta(minutes=1),
        MaxDatapoints=7, MetricDataQueries=[{"Id": "a", "MetricStat": stat}]):
    values += p["MetricDataResults"][0]["Values"]
assert values == [float(i) for i in reversed(range(30))], values

got = c.get_metric_statistics(
    Namespace="t", MetricName="m", StartTime=now - datetime.timedelta(hours=1), EndTime=now + datetime.timedelta(minutes=1),
    Period=3600, Statistics=["Sum", "Maximum"], ExtendedStatistics=["p50"])
assert sum(d["Sum"] for d in got["Datapoints"]) == sum(range(30)), got
assert {d["Unit"] for d in got["Datapoints"]} == {"Count"}, got

try:
    c.put_metric_data(Namespace="AWS/ECS", MetricData=[{"MetricName": "m", "Value": 1}])
    raise AssertionError("a namespace of AWS's was taken")
except c.exceptions.InvalidParameterValueException as e:
    assert e.response["Error"]["Code"] == "InvalidParameterValue", e.response
print("done")
