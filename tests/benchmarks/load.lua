-- What wrk sends: the requests of a file, a line each: a path, and perhaps an ETag for If-None-Match.
-- Arguments: the file; "random" or "turn"; the mean pause of a connection in ms (0: none); "close" or "keep".

local requests, place = {}, 0

function init(args)
   for line in io.lines(args[1]) do
      local path, etag = line:match("^(%S+)%s*(.*)$")
      local headers = {}
      if etag ~= "" then headers["If-None-Match"] = etag end
      if args[4] == "close" then headers["Connection"] = "close" end
      requests[#requests + 1] = wrk.format("GET", path, headers)
   end
   if args[2] == "turn" then
      request = function()
         place = place % #requests + 1
         return requests[place]
      end
   end
   local pause = tonumber(args[3])
   if pause > 0 then
      -- Not all at once: connections that wait equally long would come in step.
      delay = function() return math.random(1, 2 * pause - 1) end
   end
end

function request()
   return requests[math.random(#requests)]
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      'JSON {"requests": %d, "us": %d, "bytes": %d, "p50_us": %d, "p99_us": %d, "refused": %d, "broken": %d}\n',
      summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
      errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
