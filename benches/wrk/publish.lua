-- Publishes 128 bytes to the channel `bench`; the token comes from AUTH_TOKEN.
wrk.method = "POST"
wrk.path = "/publish/bench"
wrk.body = string.rep("x", 128)
wrk.headers["Content-Type"] = "text/plain"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("AUTH_TOKEN")

function response(status)
    if status ~= 200 then
        io.stderr:write("status " .. status .. "\n")
        wrk.thread:stop()
    end
end
