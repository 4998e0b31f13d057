// One service's lines over time, drawn by uPlot: demand on its own axis at the
// right, want, running and forecast in tasks at the left.

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { ceiling, columns, range } from "./series";
import type { Sample } from "./state";

export interface Chart {
  /** Draws the samples up to now (milliseconds, the server's clock). */
  show(samples: readonly Sample[], now: number): void;
  /** Draws again in the colours of the page. */
  recolour(): void;
  resize(width: number, height: number): void;
  destroy(): void;
}

/** Makes a chart in the element; colour gives the value of a CSS variable. */
export function makeChart(at: HTMLElement, size: { width: number; height: number }, colour: (name: string) => string, read: (text: Sample | null) => void): Chart {
  let shown: [number, number] = [0, 1];
  const stepped = uPlot.paths.stepped!({ align: 1 });
  const font = "11px system-ui, sans-serif";
  const counts = (_: uPlot, __: number, max: number): [number, number] => [0, ceiling(max)];
  const axis = (scale: string, side: 1 | 3, stroke: () => string): uPlot.Axis => ({
    scale,
    side,
    size: 34,
    gap: 4,
    font,
    stroke,
    space: 26,
    ticks: { show: false },
    grid: { show: side === 3, stroke: () => colour("--grid"), width: 1 },
    incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 50000, 100000],
  });
  const line = (label: string, scale: string, width: number, name: string, dash?: number[]): uPlot.Series => ({
    label,
    scale,
    width,
    stroke: () => colour(name),
    paths: stepped,
    points: { show: false },
    ...(dash ? { dash } : {}),
  });
  const plot = new uPlot(
    {
      ...size,
      padding: [6, 0, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: "services" }, points: { show: false } },
      scales: {
        x: { time: true, range: () => shown },
        tasks: { range: counts },
        demand: { range: counts },
      },
      axes: [
        { font, size: 20, gap: 3, space: 70, stroke: () => colour("--faint"), ticks: { show: false }, grid: { show: false }, values: (_, at) => at.map((t) => (inside(t, shown) ? timeLabel(t) : "")) },
        axis("tasks", 3, () => colour("--faint")),
        { ...axis("demand", 1, () => colour("--demand")), values: (u, at) => at.map((v) => (known(u.data[1]) ? String(v) : "")) },
      ],
      series: [
        {},
        line("demand", "demand", 1.5, "--demand", [3, 3]),
        line("want", "tasks", 1.5, "--ink"),
        { ...line("running", "tasks", 2, "--service"), fill: () => colour("--service-wash") },
        line("forecast", "tasks", 1.25, "--ink", [2, 3]),
      ],
      hooks: { setCursor: [(u) => read(underCursor(u))] },
    },
    [[], [], [], [], []],
    at,
  );
  return {
    show(samples, now) {
      shown = range(samples, now);
      plot.setData(columns(samples, now));
    },
    recolour: () => plot.redraw(false, true),
    resize: (width, height) => {
      if (width !== plot.width || height !== plot.height) plot.setSize({ width, height });
    },
    destroy: () => plot.destroy(),
  };
}

/** Tells whether the demand was known at any time; else its axis has no figures. */
function known(demand: uPlot.AlignedData[number] | undefined): boolean {
  return [...(demand ?? [])].some((v) => v !== null);
}

/** Tells whether a time is far enough from both ends for its label to fit. */
function inside(seconds: number, [from, to]: [number, number]): boolean {
  const margin = (to - from) * 0.06;
  return seconds >= from + margin && seconds <= to - margin;
}

function timeLabel(seconds: number): string {
  const d = new Date(seconds * 1000);
  const parts = [d.getHours(), d.getMinutes()];
  if (d.getSeconds() !== 0) parts.push(d.getSeconds());
  return parts.map((n) => String(n).padStart(2, "0")).join(":");
}

function underCursor(u: uPlot): Sample | null {
  const i = u.cursor.idx;
  const time = i === null || i === undefined ? undefined : u.data[0]?.[i];
  if (i === null || i === undefined || time === undefined) return null;
  const value = (row: number) => (u.data[row]?.[i] as number | null | undefined) ?? null;
  return { time: time * 1000, demand: value(1), want: value(2), running: value(3), forecast: value(4) };
}
