import { expect, it } from "vitest";
import type { Action } from "./state";
import { connect, type Source } from "./stream";

/** An EventSource that does what the test says. */
class Fake implements Source {
  readyState = 1;
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  closed = false;
  private listeners = new Map<string, (event: { data: string }) => void>();
  addEventListener(type: string, listener: (event: { data: string }) => void): void {
    this.listeners.set(type, listener);
  }
  close(): void {
    this.closed = true;
  }
  send(type: string, value: unknown): void {
    this.listeners.get(type)?.({ data: JSON.stringify(value) });
  }
}

function setUp() {
  const sources: Fake[] = [];
  const waits: { wait: number; then: () => void }[] = [];
  const actions: Action[] = [];
  const connection = connect((a) => actions.push(a), {
    open: () => {
      sources.push(new Fake());
      return sources[sources.length - 1]!;
    },
    now: () => 12,
    later: (wait, then) => waits.push({ wait, then }),
  });
  return { sources, waits, actions, connection };
}

it("hands on what comes", () => {
  const { sources, actions } = setUp();
  sources[0]!.onopen!();
  sources[0]!.send("state", { cluster: "shop" });
  sources[0]!.send("decision", { seq: 1 });
  sources[0]!.send("event", { seq: 2 });
  expect(actions).toEqual([
    { type: "opened" },
    { type: "snapshot", snapshot: { cluster: "shop" }, now: 12 },
    { type: "decision", decision: { seq: 1 } },
    { type: "event", event: { seq: 2 } },
  ]);
});

it("leaves it to the browser while that tries again", () => {
  const { sources, waits, actions } = setUp();
  sources[0]!.readyState = 0;
  sources[0]!.onerror!();
  expect(actions).toEqual([{ type: "lost" }]);
  expect(waits).toEqual([]);
  expect(sources[0]!.closed).toBe(false);
});

it("connects anew, ever later, when the browser gives up", () => {
  const { sources, waits } = setUp();
  for (let i = 0; i < 6; i++) {
    const source = sources[i]!;
    source.readyState = 2;
    source.onerror!();
    waits[i]!.then();
  }
  expect(waits.map((w) => w.wait)).toEqual([500, 1000, 2000, 4000, 4000, 4000]);
  expect(sources).toHaveLength(7);
  sources[6]!.onopen!();
  sources[6]!.readyState = 2;
  sources[6]!.onerror!();
  expect(waits[6]!.wait).toBe(500);
});

it("does not connect any more after stop", () => {
  const { sources, waits, connection } = setUp();
  sources[0]!.readyState = 2;
  sources[0]!.onerror!();
  connection.stop();
  waits[0]!.then();
  expect(sources).toHaveLength(1);
  expect(sources[0]!.closed).toBe(true);
});
