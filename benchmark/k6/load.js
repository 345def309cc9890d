// A constant rate of readings, whatever the service does (an open loop): k6 run -e URL=http://... -e RATE=100 -e SECONDS=30 load.js
// A latency is that of the whole exchange, connecting and waiting for a connection included. What could not be sent because
// every virtual user was busy is dropped and counted: then the latencies are too good, and the run says nothing.
import { check } from "k6";
import exec from "k6/execution";
import http from "k6/http";
import { Rate, Trend } from "k6/metrics";

const rate = Number(__ENV.RATE || 100);
const seconds = Number(__ENV.SECONDS || 30);
const users = Number(__ENV.USERS || Math.max(20, Math.ceil(rate / 2))); // enough for answers of half a second

export const options = {
  scenarios: {
    load: {
      executor: "constant-arrival-rate",
      rate,
      timeUnit: "1s",
      duration: `${seconds}s`,
      preAllocatedVUs: users,
      maxVUs: users,
    },
  },
  noVUConnectionReuse: __ENV.FRESH === "true",
  noConnectionReuse: __ENV.FRESH === "true", // a kept-alive connection stays with one pod
  summaryTrendStats: ["count", "min", "med", "p(75)", "p(90)", "p(95)", "p(99)", "p(99.5)", "p(99.9)", "p(99.99)", "max"],
};

const latency = new Trend("latency", true);
const late = new Trend("late", true); // how long after its time a request was begun: the generator's own delay
const errors = new Rate("errors");

export default function () {
  const number = exec.scenario.iterationInTest;
  late.add(Math.max(0, Date.now() - exec.scenario.startTime - (1000 * number) / rate));
  const light = (number * 37) % 700;
  const reading = { Temperature: 19 + (number % 50) / 10, Humidity: 20 + (number % 17), Light: light, CO2: 420 + light };
  const answer = http.post(`${__ENV.URL.replace(/\/$/, "")}/predict`, JSON.stringify(reading), {
    headers: { "Content-Type": "application/json" },
  });
  const t = answer.timings;
  latency.add(t.blocked + t.connecting + t.tls_handshaking + t.duration);
  errors.add(!check(answer, { "a label": (a) => a.status === 200 && [0, 1].includes(a.json("label")) }));
}

export function handleSummary(data) {
  const values = (name) => (data.metrics[name] || { values: {} }).values;
  const summary = {
    url: __ENV.URL,
    rate,
    seconds,
    fresh: __ENV.FRESH === "true",
    dropped: values("dropped_iterations").count || 0,
    errors: values("errors").passes || 0,
    latency: values("latency"),
    late: values("late"),
  };
  return { stdout: `\n${JSON.stringify(summary)}\n` };
}
