import { describe, expect, it } from "vitest";
import type { Decision, Service, Snapshot, Task } from "./api";
import { fade, initial, lookOf, maxLines, maxSpan, reduce, type Action, type Model } from "./state";

const noon = Date.parse("2026-05-04T12:00:00Z");

function service(name: string, change: Partial<Service> = {}): Service {
  return {
    name, priority: 1, min: 0, max: 10, demand: 1, want: 1, grant: 1, desired: 1, running: 1, pending: 0, protected: 0, reason: "",
    triggers: [], paused: false, floor: 0, remainder: false, cooperative: false, managed: true, reserved: { cpu: 256, memory: 64 }, ...change,
  };
}

function task(id: string, change: Partial<Task> = {}): Task {
  return { id, service: "web", host: "i-1", lastStatus: "RUNNING", desiredStatus: "RUNNING", protected: false, cpu: 256, memory: 64, ...change };
}

function snapshot(change: Partial<Snapshot> = {}): Snapshot {
  return { run: "one", step: 1, at: new Date(noon).toISOString(), cluster: "shop", problem: "", services: [service("web")], hosts: [], tasks: [], ...change };
}

function at(seconds: number, change: Partial<Snapshot> = {}): Action {
  const time = noon + seconds * 1000;
  return { type: "snapshot", snapshot: snapshot({ at: new Date(time).toISOString(), ...change }), now: time };
}

function decision(seq: number): Action {
  const line: Decision = { seq, at: "", service: "web", from: 0, to: 1, want: 1, grant: 1, reason: "", outcome: "done" };
  return { type: "decision", decision: line };
}

const after = (...actions: Action[]): Model => actions.reduce(reduce, initial);

describe("the connection", () => {
  it("is connecting until it opens, and again if it never showed anything", () => {
    expect(initial.connection).toBe("connecting");
    expect(after({ type: "lost" }).connection).toBe("connecting");
    expect(after({ type: "opened" }).connection).toBe("live");
  });
  it("is reconnecting when it breaks, with what was seen last still shown", () => {
    const model = after({ type: "opened" }, at(0), { type: "lost" });
    expect(model.connection).toBe("reconnecting");
    expect(model.snapshot?.cluster).toBe("shop");
  });
});

describe("the lines of decisions", () => {
  it("come newest first, and never twice", () => {
    const model = after(decision(1), decision(2), decision(1), decision(2), decision(3));
    expect(model.decisions.map((d) => d.seq)).toEqual([3, 2, 1]);
  });
  it("are bounded", () => {
    let model = initial;
    for (let seq = 1; seq <= maxLines + 50; seq++) model = reduce(model, decision(seq));
    expect(model.decisions).toHaveLength(maxLines);
    expect(model.decisions[0]?.seq).toBe(maxLines + 50);
  });
  it("begin anew with another run of the server, whose numbers begin anew", () => {
    const model = after(at(0), decision(7), at(1, { run: "two" }), decision(1));
    expect(model.decisions.map((d) => d.seq)).toEqual([1]);
  });
  it("go on when the same run is there again", () => {
    const model = after(at(0), decision(7), { type: "lost" }, { type: "opened" }, at(1), decision(8));
    expect(model.decisions.map((d) => d.seq)).toEqual([8, 7]);
  });
});

describe("a service's colour", () => {
  it("is given in the API's order and kept when others come and go", () => {
    const model = after(at(0, { services: [service("b"), service("a")] }), at(1, { services: [service("new"), service("a")] }));
    expect(model.colours).toEqual({ b: 0, a: 1, new: 2 });
  });
});

describe("a task that is gone", () => {
  it("fades where it was, and then is forgotten", () => {
    const model = after(at(0, { tasks: [task("a"), task("b")] }), at(1, { tasks: [task("b")] }));
    expect(model.ghosts.map((g) => g.task.id)).toEqual(["a"]);
    expect(reduce(model, { type: "tick", now: noon + 1000 + fade - 1 })).toBe(model);
    expect(reduce(model, { type: "tick", now: noon + 1000 + fade }).ghosts).toEqual([]);
  });
  it("is no ghost when it is seen again", () => {
    const model = after(at(0, { tasks: [task("a")] }), at(0.1), at(0.2, { tasks: [task("a")] }));
    expect(model.ghosts).toEqual([]);
  });
});

describe("the samples of the charts", () => {
  const times = (model: Model) => model.samples["web"]?.map((s) => (s.time - noon) / 1000);

  it("have one for each second, the last of it", () => {
    const model = after(at(0), at(0.5, { services: [service("web", { want: 5 })] }), at(1));
    expect(times(model)).toEqual([0.5, 1]);
    expect(model.samples["web"]?.[0]?.want).toBe(5);
  });
  it("keep what is unknown unknown", () => {
    expect(after(at(0, { services: [service("web", { demand: null })] })).samples["web"]?.[0]?.demand).toBeNull();
  });
  it("have the forecast while it is on", () => {
    const on = { tasks: 7, reason: "" };
    const model = after(at(0, { services: [service("web", { forecast: on }), service("mail", { forecast: { ...on, off: "no better" } })] }));
    expect([model.samples["web"]?.[0]?.forecast, model.samples["mail"]?.[0]?.forecast]).toEqual([7, null]);
  });
  it("take the server's history under what came since", () => {
    const point = (seconds: number) => ({ at: new Date(noon + seconds * 1000).toISOString(), demand: 1, want: 1, running: 1 });
    const model = after(at(0), at(5), { type: "history", service: "web", points: [point(-60), point(-30), point(0)] });
    expect(times(model)).toEqual([-60, -30, 0, 5]);
  });
  it("drop what no chart shows", () => {
    let model = initial;
    for (let i = 0; i <= 40; i++) model = reduce(model, at(i * 60));
    const samples = model.samples["web"]!;
    expect(samples[1]!.time).toBeGreaterThanOrEqual(noon + 40 * 60_000 - maxSpan);
    expect(samples.length).toBeLessThan(20);
  });
});

describe("the server's clock", () => {
  it("is taken from the freshest snapshot, not from one that was old when it came", () => {
    const old: Action = { type: "snapshot", snapshot: snapshot({ at: new Date(noon - 5000).toISOString() }), now: noon };
    expect(after(old).skew).toBe(-5000);
    expect(after(old, at(1)).skew).toBe(0);
    expect(after(at(0), old).skew).toBe(0);
  });
});

describe("a task's look", () => {
  it("follows what is asked of it before where it is", () => {
    expect(lookOf(task("a"))).toBe("running");
    expect(lookOf(task("a", { desiredStatus: "STOPPED" }))).toBe("leaving");
    expect(lookOf(task("a", { lastStatus: "PENDING" }))).toBe("starting");
    expect(lookOf(task("a", { lastStatus: "PROVISIONING", host: undefined }))).toBe("waiting");
  });
});

describe("the focus", () => {
  it("is on one service, and off when it is asked for again", () => {
    const model = after({ type: "focus", service: "web" });
    expect(model.focus).toBe("web");
    expect(reduce(model, { type: "focus", service: "other" }).focus).toBe("other");
    expect(reduce(model, { type: "focus", service: "web" }).focus).toBeNull();
  });
});
