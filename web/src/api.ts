// The shapes that the REST API and its stream give.

export type Status =
  | "PROVISIONING"
  | "PENDING"
  | "ACTIVATING"
  | "RUNNING"
  | "DEACTIVATING"
  | "STOPPING"
  | "DEPROVISIONING"
  | "STOPPED";

/** What several tasks use together; CPU in CPU units, null while unknown; memory in MiB. */
export interface Used {
  cpu: number | null;
  memory: number;
  tasks: number;
}

export interface Trigger {
  name: string;
  known: boolean;
  value: number | null;
  want: number;
  active: boolean;
  reason: string;
}

export interface Service {
  name: string;
  priority: number;
  min: number;
  max: number;
  demand: number | null;
  want: number | null;
  grant: number | null;
  desired: number;
  running: number;
  pending: number;
  protected: number;
  reason: string;
  triggers: Trigger[];
  paused: boolean;
  floor: number;
  floorUntil?: string;
  remainder: boolean;
  cooperative: boolean;
  managed: boolean;
  url?: string;
  /** What one task reserves. */
  reserved: { cpu: number; memory: number };
  /** Absent until something was measured. */
  used?: Used;
  forecast?: Forecast;
}

/** What a service's forecast says; off says why it is not used. */
export interface Forecast {
  tasks: number | null;
  off?: string;
  reason: string;
}

export interface Host {
  id: string;
  zone: string;
  address: string;
  status: string;
  connected: boolean;
  cpu: number;
  memory: number;
  cpuFree: number;
  memoryFree: number;
  running: number;
  pending: number;
  /** Absent until something was measured. */
  used?: Used;
}

export interface Task {
  id: string;
  service?: string;
  host?: string;
  zone?: string;
  lastStatus: Status;
  desiredStatus: Status;
  protected: boolean;
  cpu: number;
  memory: number;
  createdAt?: string;
  startedAt?: string;
}

/** What a `state` event of the stream carries. */
export interface Snapshot {
  run: string;
  step: number;
  at?: string;
  cluster: string;
  problem: string;
  services: Service[];
  hosts: Host[];
  tasks: Task[];
}

export interface Decision {
  seq: number;
  at: string;
  service: string;
  from: number;
  to: number;
  want: number;
  grant: number;
  reason: string;
  outcome: string;
}

export interface ClusterEvent {
  seq: number;
  at: string;
  kind: string;
  service?: string;
  task?: string;
  host?: string;
  message: string;
}

/** A service's figures at one time, as /v1/history/{service} has them. */
export interface Point {
  at: string;
  demand: number | null;
  want: number;
  running: number;
  forecast?: number;
}

/** Reads a service's history; the error names what went wrong. */
export async function readHistory(service: string): Promise<Point[]> {
  const answer = await fetch(`/v1/history/${encodeURIComponent(service)}`);
  if (!answer.ok) throw new Error(`history of ${service}: status ${answer.status}`);
  return ((await answer.json()) as { points: Point[] }).points;
}
