import { describe, expect, it } from "vitest";
import { empty, lanesFor, pack, type Hold, type Item, type Slot } from "./pack";

const items = (...sizes: number[]): Item[] => sizes.map((size, i) => ({ id: String(i), size }));

/** Pairs of blocks that are drawn over each other, or over the edge. */
function collisions(hold: Hold): string[] {
  const all = [...hold.slots];
  const found: string[] = [];
  all.forEach(([id, a], i) => {
    if (a.left < -1e-6 || a.left + a.width > 1 + 1e-6) found.push(id);
    for (const [other, b] of all.slice(i + 1)) {
      if (a.lane === b.lane && a.left + a.width > b.left + 1e-6 && b.left + b.width > a.left + 1e-6) found.push(`${id}+${other}`);
    }
  });
  return found;
}

describe("pack", () => {
  it("gives a block the part of the host that its task reserves", () => {
    const { slots } = pack(empty, items(256, 512), 1024, 1);
    expect(slots.get("0")).toEqual<Slot>({ lane: 0, left: 0, width: 0.25 });
    expect(slots.get("1")).toEqual<Slot>({ lane: 0, left: 0.25, width: 0.5 });
  });

  it("leaves every block where it is when another goes or comes", () => {
    const before = pack(empty, items(256, 256, 256), 1024, 1);
    const without = items(256, 256, 256).filter((i) => i.id !== "1");
    const gone = pack(before, without, 1024, 1);
    expect(gone.slots.get("2")).toEqual(before.slots.get("2"));
    const back = pack(gone, [...without, { id: "new", size: 256 }], 1024, 1);
    expect(back.slots.get("new")?.left).toBe(0.25);
    expect(back.slots.get("2")).toEqual(before.slots.get("2"));
  });

  it("packs anew when there is room but no gap that is wide enough", () => {
    const before = pack(empty, items(256, 256, 256, 256), 1024, 1);
    const kept = items(256, 256, 256, 256).filter((i) => i.id === "1" || i.id === "3");
    const hold = pack(pack(before, kept, 1024, 1), [...kept, { id: "wide", size: 512 }], 1024, 1);
    expect(collisions(hold)).toEqual([]);
    expect(hold.slots.get("wide")?.width).toBe(0.5);
  });

  it("draws a full host of several lanes without overlap, and then stays as it is", () => {
    const full = items(...Array.from({ length: 42 }, () => 192)); // 42 * 192 = 8064 of 8192, 10.67 to a lane
    const hold = pack(empty, full, 8192, lanesFor(8192));
    expect(hold.slots.size).toBe(42);
    expect(collisions(hold)).toEqual([]);
    const fewer = pack(hold, full.slice(0, 41), 8192, lanesFor(8192));
    expect(fewer.slots.get("7")).toEqual(hold.slots.get("7"));
  });

  it("shows every task, one without a reservation and an overdraft too", () => {
    const hold = pack(empty, items(0, 1024, 1024, 5000), 1024, 1);
    expect(hold.slots.size).toBe(4);
    for (const slot of hold.slots.values()) {
      expect(slot.width).toBeGreaterThan(0);
      expect(slot.left + slot.width).toBeLessThanOrEqual(1 + 1e-6);
    }
  });

  it("shows the tasks of a host of unknown size", () => {
    expect(pack(empty, items(256), 0, lanesFor(0)).slots.size).toBe(1);
  });
});
