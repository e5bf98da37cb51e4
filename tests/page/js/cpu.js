/** Return the CPU time of this process in milliseconds. Other programs do not lengthen it. */
export function cpuMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}
