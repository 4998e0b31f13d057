import { describe, expect, it } from "vitest";
import { ceiling, columns, range } from "./series";
import type { Sample } from "./state";

const sample = (seconds: number, want: number): Sample => ({ time: seconds * 1000, demand: null, want, running: want, forecast: null });

describe("columns", () => {
  it("draw the last values on to now", () => {
    expect(columns([sample(1, 2), sample(3, 4)], 5000)).toEqual([[1, 3, 5], [null, null, null], [2, 4, 4], [2, 4, 4], [null, null, null]]);
  });
  it("draw nothing of no samples", () => {
    expect(columns([], 5000)).toEqual([[], [], [], [], []]);
  });
  it("draw no line back in time when our clock is behind", () => {
    expect(columns([sample(6, 1)], 5000)[0]).toEqual([6]);
  });
});

describe("range", () => {
  it("is a minute at least and ten at most", () => {
    expect(range([], 600_000)).toEqual([540, 600]);
    expect(range([sample(300, 1)], 600_000)).toEqual([300, 600]);
    expect(range([sample(0, 1)], 6_000_000)).toEqual([5400, 6000]);
  });
});

describe("ceiling", () => {
  it("is a round figure over the largest value, and never nothing", () => {
    expect(ceiling(0)).toBe(4);
    expect(ceiling(NaN)).toBe(4);
    for (const largest of [1, 3, 9, 44, 150, 99_000]) expect(ceiling(largest)).toBeGreaterThanOrEqual(largest);
    expect(ceiling(44)).toBe(50);
  });
});
