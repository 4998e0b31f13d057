// The live connection to the server. The browser's EventSource reconnects by
// itself after a broken connection; where it gives up (an error status), this
// tries again with a new one.

import type { ClusterEvent, Decision, Snapshot } from "./api";
import type { Action } from "./state";

/** The waits between attempts after the browser gave up, in milliseconds. */
const waits = [500, 1000, 2000, 4000];

/** What of an EventSource is used; tests bring their own. */
export interface Source {
  readonly readyState: number;
  onopen: (() => void) | null;
  onerror: (() => void) | null;
  addEventListener(type: string, listener: (event: { data: string }) => void): void;
  close(): void;
}

export interface Surroundings {
  open(): Source;
  now(): number;
  later(wait: number, then: () => void): void;
}

const closed = 2; // EventSource.CLOSED

/** Connects, and tells of all that comes by dispatch, until stop is called. */
export function connect(dispatch: (action: Action) => void, around: Surroundings): { stop(): void } {
  let failures = 0;
  let stopped = false;
  let source: Source;
  const start = () => {
    if (stopped) return;
    source = around.open();
    source.onopen = () => {
      failures = 0;
      dispatch({ type: "opened" });
    };
    source.onerror = () => {
      dispatch({ type: "lost" });
      if (source.readyState !== closed) return; // the browser tries again
      source.close();
      around.later(waits[Math.min(failures++, waits.length - 1)]!, start);
    };
    source.addEventListener("state", (e) => dispatch({ type: "snapshot", snapshot: JSON.parse(e.data) as Snapshot, now: around.now() }));
    source.addEventListener("decision", (e) => dispatch({ type: "decision", decision: JSON.parse(e.data) as Decision }));
    source.addEventListener("event", (e) => dispatch({ type: "event", event: JSON.parse(e.data) as ClusterEvent }));
  };
  start();
  return {
    stop() {
      stopped = true;
      source.close();
    },
  };
}
