-- wrk's own summary ends at 99 %: this adds the line that benchmarks.cost.server reads.
done = function(summary, latency, requests)
   io.write(string.format("  99.9%%  %.2fms\n", latency:percentile(99.9) / 1000))
end
