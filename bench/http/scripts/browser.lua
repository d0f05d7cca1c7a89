-- SPDX-License-Identifier: MIT
-- The headers of a browser that follows a link: some 670 bytes.
function init()
   local headers = wrk.headers
   headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0"
   headers["Accept"] =
      "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
   headers["Accept-Language"] = "de-CH,de;q=0.8,en-US;q=0.5,en;q=0.3"
   headers["Accept-Encoding"] = "gzip, deflate, br, zstd"
   headers["Referer"] = "http://localhost:8000/games?sort=rating&page=3"
   headers["Connection"] = "keep-alive"
   headers["Cookie"] = "session=c2Vzc2lvbi1pZC1vZi1zb21lLWxlbmd0aA; theme=dark; consent=essential"
   headers["Upgrade-Insecure-Requests"] = "1"
   headers["Sec-Fetch-Dest"] = "document"
   headers["Sec-Fetch-Mode"] = "navigate"
   headers["Sec-Fetch-Site"] = "same-origin"
   headers["Sec-Fetch-User"] = "?1"
   headers["Priority"] = "u=0, i"
end
