import { useEffect, useRef, useState } from "preact/hooks";
import { makeChart, type Chart } from "../chart";
import { clock, figure } from "../format";
import type { Sample } from "../state";

interface Props {
  name: string;
  samples: readonly Sample[];
  now: number;
  dark: boolean;
}

/** The lines of demand, want and running over time. */
export function Lines({ name, samples, now, dark }: Props) {
  const at = useRef<HTMLDivElement>(null);
  const chart = useRef<Chart | null>(null);
  const [under, setUnder] = useState<Sample | null>(null);

  useEffect(() => {
    const place = at.current!;
    const size = () => ({ width: Math.max(120, place.clientWidth), height: Math.max(80, place.clientHeight) });
    const colour = (variable: string) => getComputedStyle(place).getPropertyValue(variable).trim();
    chart.current = makeChart(place, size(), colour, setUnder);
    const watch = new ResizeObserver(() => chart.current?.resize(size().width, size().height));
    watch.observe(place);
    return () => {
      watch.disconnect();
      chart.current?.destroy();
      chart.current = null;
    };
  }, []);
  useEffect(() => chart.current?.show(samples, now), [samples, now]);
  useEffect(() => chart.current?.recolour(), [dark]);

  const last = samples[samples.length - 1];
  const shown = under ?? null;
  return (
    <figure class="lines" aria-label={`${name} over time: demand ${figure(last?.demand)}, want ${figure(last?.want)}, running ${figure(last?.running)} now`}>
      <div class="plot" data-testid="chart" data-service={name} ref={at} />
      <figcaption aria-hidden="true" data-on={shown !== null}>
        {shown && `${clock(shown.time)}  demand ${figure(shown.demand)} · want ${figure(shown.want)} · running ${figure(shown.running)}${shown.forecast === null ? "" : ` · forecast ${figure(shown.forecast)}`}`}
      </figcaption>
    </figure>
  );
}
