-- SPDX-License-Identifier: MIT
-- Arguments: how many requests are sent at once on each connection.
local all

function init(arguments)
   local requests = {}
   for i = 1, tonumber(arguments[1]) do
      requests[i] = wrk.format()
   end
   all = table.concat(requests)
end

function request()
   return all
end
