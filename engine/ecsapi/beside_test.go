package ecsapi_test

// besideECS ends docs/ecs-compatibility.md: what is served beside ECS and cannot be
// told by ECS's probes. engine/cloudwatch's tests hold it, and app's those of the events.
const besideECS = `
## CloudWatch

PutMetricData, GetMetricData, GetMetricStatistics and ListMetrics, in Smithy RPC v2 with CBOR
(today's Go SDK), JSON 1.0 (today's boto3 and AWS CLI) and Query (older ones), with bodies
that are compressed. Alarms, dashboards and streams are not there.

- Data is in memory only: an engine that is started again has none. Samples are kept for 15 days,
  those with StorageResolution 1 by the second for 3 hours, the others by the minute. All metrics of
  an account in a region take 16 MiB at most (some 100,000 minutes of one value, or of ECS's own):
  when that is full, what came first goes first.
- Statistics are Average, Sum, Minimum, Maximum, SampleCount and percentiles (p99.9). Trimmed means and
  the others are refused by name. Percentiles are exact up to 1,000 different values a minute, and
  within 1 % beyond (absent where those are very far apart); of StatisticValues there are none.
- Expressions (metric math, Metrics Insights) and entities are refused by name; labels are given back as they
  are, without ${...} being filled in.
- AWS/ECS has one sample a minute of CPUReservation and MemoryReservation by ClusterName, and of
  CPUUtilization and MemoryUtilization by ClusterName, and by ClusterName and ServiceName, where the runtime can
  tell what tasks use. A service's SampleCount is the number of its tasks that were measured. What is
  not known (a cluster without hosts, a task that reserves no CPU) has no sample.

## EventBridge

Rules by event pattern on the bus "default", with queues as targets, and PutEvents. What is put on
the bus is durable when it is answered. Schedules, other buses, other targets, archives and
input transformers are refused by name.

- PutEvents takes events of AWS's own sources too, which EventBridge refuses. So EC2's notice that it takes
  a spot instance away can be tried; the engine takes nothing away itself, that is TerminateInstances':

      aws events put-events --entries '[{"Source": "aws.ec2",
        "DetailType": "EC2 Spot Instance Interruption Warning",
        "Detail": "{\"instance-id\": \"i-0123\", \"instance-action\": \"terminate\"}"}]'
`
