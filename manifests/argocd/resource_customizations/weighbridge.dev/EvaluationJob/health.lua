-- Without this script a hook of this kind gates nothing: Argo CD takes what it cannot judge for done. Never Unknown, which would
-- fail a hook that still waits.
local waiting = {status = "Progressing", message = "Waiting for Weighbridge to look at this evaluation"}

local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return waiting
end

local found = {}
for _, condition in ipairs(status.conditions) do
  found[condition.type] = condition
end
local ready = found["Ready"]
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

-- Refused before anything ran, or ended with a verdict that is not Passed.
if found["Stalled"] ~= nil and found["Stalled"].status == "True" then
  return health("Degraded")
end
if ready.status == "True" then
  return health("Healthy")
end
-- Somebody suspended its Job. One that waits in a queue is on its way.
if ready.reason == "Suspended" then
  return health("Suspended")
end
return health("Progressing")
