// What the page knows, and how each thing that happens changes it: a pure
// reducer. It must not know of the network, the document or the clock.

import type { ClusterEvent, Decision, Point, Service, Snapshot, Task } from "./api";

/** connecting: never yet heard; live; reconnecting: was live, tries again. */
export type Connection = "connecting" | "live" | "reconnecting";

/** One sample of a chart; time in milliseconds since 1970. */
export interface Sample {
  time: number;
  demand: number | null;
  want: number | null;
  running: number | null;
  /** The tasks that the forecast says will be needed; null where it is off. */
  forecast: number | null;
}

/** A task that is gone from the cluster and still fades on the page. */
export interface Ghost {
  task: Task;
  until: number;
}

export interface Model {
  connection: Connection;
  snapshot: Snapshot | null;
  /** Newest first. */
  decisions: Decision[];
  events: ClusterEvent[];
  /** Oldest first, by service. */
  samples: Record<string, Sample[]>;
  ghosts: Ghost[];
  /** The palette's index of each service: it never changes once given. */
  colours: Record<string, number>;
  /** The server's clock less ours, in milliseconds. */
  skew: number;
  /** The service that is made to stand out, if any. */
  focus: string | null;
}

export type Action =
  | { type: "opened" }
  | { type: "lost" }
  | { type: "snapshot"; snapshot: Snapshot; now: number }
  | { type: "decision"; decision: Decision }
  | { type: "event"; event: ClusterEvent }
  | { type: "history"; service: string; points: Point[] }
  | { type: "focus"; service: string | null }
  | { type: "tick"; now: number };

/** How many colours the palette has. */
export const palette = 8;
/** The most decisions, and events, that are kept. */
export const maxLines = 200;
/** The longest time that a chart shows, in milliseconds. */
export const maxSpan = 15 * 60 * 1000;
/** How long a task that is gone fades, in milliseconds. */
export const fade = 450;

export const initial: Model = {
  connection: "connecting",
  snapshot: null,
  decisions: [],
  events: [],
  samples: {},
  ghosts: [],
  colours: {},
  skew: 0,
  focus: null,
};

export function reduce(model: Model, action: Action): Model {
  switch (action.type) {
    case "opened":
      return { ...model, connection: "live" };
    case "lost":
      return { ...model, connection: model.snapshot ? "reconnecting" : "connecting" };
    case "snapshot":
      return withSnapshot(model, action.snapshot, action.now);
    case "decision":
      return { ...model, decisions: newestFirst(model.decisions, action.decision) };
    case "event":
      return { ...model, events: newestFirst(model.events, action.event) };
    case "history":
      return withHistory(model, action.service, action.points);
    case "focus":
      return { ...model, focus: model.focus === action.service ? null : action.service };
    case "tick": {
      const ghosts = model.ghosts.filter((g) => g.until > action.now);
      return ghosts.length === model.ghosts.length ? model : { ...model, ghosts };
    }
  }
}

function withSnapshot(model: Model, snapshot: Snapshot, now: number): Model {
  const old = model.snapshot;
  // After a restart the numbers of decisions and events begin anew.
  const fresh = old !== null && old.run !== snapshot.run;
  const at = snapshot.at ? Date.parse(snapshot.at) : NaN;
  // A snapshot is never newer than its server's clock, so that the largest
  // difference seen is the nearest to the true one.
  const skew = Number.isFinite(at) ? (old ? Math.max(model.skew, at - now) : at - now) : model.skew;
  const here = new Set(snapshot.tasks.map((t) => t.id));
  const ghosts = model.ghosts.filter((g) => g.until > now && !here.has(g.task.id));
  for (const task of old?.tasks ?? []) {
    if (!here.has(task.id)) ghosts.push({ task, until: now + fade });
  }
  const time = Number.isFinite(at) ? at : now + skew;
  const samples: Record<string, Sample[]> = {};
  for (const service of snapshot.services) {
    samples[service.name] = append(model.samples[service.name] ?? [], sampleOf(service, time));
  }
  return {
    ...model,
    snapshot,
    skew,
    ghosts,
    samples,
    colours: colourise(model.colours, snapshot.services),
    decisions: fresh ? [] : model.decisions,
    events: fresh ? [] : model.events,
  };
}

function sampleOf(service: Service, time: number): Sample {
  return { time, demand: service.demand, want: service.want, running: service.running, forecast: service.forecast?.off ? null : (service.forecast?.tasks ?? null) };
}

/**
 * Adds a sample at the end. As in the server's history, the last of a second
 * stands for it; one of an earlier time than the last is left out.
 */
function append(samples: Sample[], sample: Sample): Sample[] {
  const last = samples[samples.length - 1];
  if (!last) return [sample];
  if (sample.time <= last.time) return samples;
  const sameSecond = Math.floor(sample.time / 1000) === Math.floor(last.time / 1000);
  return trim([...(sameSecond ? samples.slice(0, -1) : samples), sample]);
}

/** Drops what no chart shows, but for the one sample that leads into it. */
function trim(samples: Sample[]): Sample[] {
  const last = samples[samples.length - 1];
  if (!last) return samples;
  const first = samples.findIndex((s) => s.time >= last.time - maxSpan);
  return first > 1 ? samples.slice(first - 1) : samples;
}

/** Puts the server's history under the samples that came after it. */
function withHistory(model: Model, service: string, points: Point[]): Model {
  const past = points.map((p) => ({ time: Date.parse(p.at), demand: p.demand, want: p.want, running: p.running, forecast: p.forecast ?? null }));
  const last = past[past.length - 1];
  const later = (model.samples[service] ?? []).filter((s) => !last || s.time > last.time);
  return { ...model, samples: { ...model.samples, [service]: trim([...past, ...later]) } };
}

/** Adds a line at the front; one that is there already is left out. */
function newestFirst<T extends { seq: number }>(list: T[], line: T): T[] {
  const newest = list[0];
  if (newest && line.seq <= newest.seq) return list;
  return [line, ...list].slice(0, maxLines);
}

/** Gives each service that has none the next colour, in the API's order. */
function colourise(colours: Record<string, number>, services: Service[]): Record<string, number> {
  const missing = services.filter((s) => !(s.name in colours));
  if (missing.length === 0) return colours;
  const next = { ...colours };
  for (const service of missing) next[service.name] = Object.keys(next).length % palette;
  return next;
}

/** How a task is shown. */
export type Look = "waiting" | "starting" | "running" | "leaving";

export function lookOf(task: Task): Look {
  if (task.desiredStatus === "STOPPED") return "leaving";
  if (task.lastStatus === "RUNNING") return "running";
  return task.host ? "starting" : "waiting";
}
