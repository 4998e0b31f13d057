// What a chart draws of its samples, and how far its axes go. Pure.

import type { Sample } from "./state";

/** The shortest time that a chart shows, in milliseconds. */
const minSpan = 60 * 1000;
/** The longest, before it moves along. */
const maxSpan = 10 * 60 * 1000;

/** Times in seconds, and the values of demand, want, running and forecast. */
export type Columns = [number[], (number | null)[], (number | null)[], (number | null)[], (number | null)[]];

/** Columns of times in seconds and the four lines, ended by the last values at now. */
export function columns(samples: readonly Sample[], now: number): Columns {
  const end = samples[samples.length - 1];
  const rows = end && end.time < now ? [...samples, { ...end, time: now }] : samples;
  return [rows.map((s) => s.time / 1000), rows.map((s) => s.demand), rows.map((s) => s.want), rows.map((s) => s.running), rows.map((s) => s.forecast)];
}

/** The time shown: as much as there are samples for, within bounds. */
export function range(samples: readonly Sample[], now: number): [number, number] {
  const first = samples[0]?.time ?? now;
  const shown = Math.min(maxSpan, Math.max(minSpan, now - first));
  return [(now - shown) / 1000, now / 1000];
}

/** The upper end of an axis: round, over the largest value, never flat. */
export function ceiling(largest: number): number {
  if (!(largest > 0)) return 4;
  const step = 10 ** Math.floor(Math.log10(largest)) / 2;
  return Math.max(4, Math.ceil((largest * 1.08) / step) * step);
}
