-- Whether a person's decision counts. What it leads to is told by the ModelVersion.
local waiting = {status = "Progressing", message = "Waiting for Weighbridge to look at this decision"}

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

if found["Stalled"] ~= nil and found["Stalled"].status == "True" then
  return health("Degraded")
end
if ready.status == "True" then
  return health("Healthy")
end
return health("Progressing")
