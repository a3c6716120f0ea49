local waiting = {status = "Progressing", message = "Waiting for Weighbridge to ask this registry"}

local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return waiting
end

local ready = nil
for _, condition in ipairs(status.conditions) do
  if condition.type == "Ready" then
    ready = condition
  end
end
if ready == nil then
  return waiting
end

local function health(word)
  local message = ready.reason
  if ready.message ~= nil and ready.message ~= "" then
    message = ready.reason .. ": " .. ready.message
  end
  return {status = word, message = message}
end

if ready.status == "True" then
  return health("Healthy")
end
-- The first answer is on its way, or the server starts: one that never answered yet.
if ready.reason == "Checking" or ready.reason == "RateLimited" then
  return health("Progressing")
end
if ready.reason == "RegistryUnavailable" and (status.serverVersion == nil or status.serverVersion == "") then
  return health("Progressing")
end
return health("Degraded")
