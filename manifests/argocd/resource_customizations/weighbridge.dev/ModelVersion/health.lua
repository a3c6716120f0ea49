-- Says what Ready, Reconciling and Stalled say. Never Unknown, which would fail a hook.
local waiting = {status = "Progressing", message = "Waiting for Weighbridge to look at this version"}

-- Asked for by a person on the object itself: nothing is changed, whether Weighbridge has said so yet or not.
local annotations = obj.metadata.annotations or {}
local hold = annotations["weighbridge.dev/hold"]
local held = (hold ~= nil and hold ~= "false") or (obj.spec ~= nil and obj.spec.suspend == true)

local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  if held then
    return {status = "Suspended", message = "On hold: nothing is changed"}
  end
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
local function is(kind)
  return found[kind] ~= nil and found[kind].status == "True"
end

-- Does not mend itself: refused, rolled back, blocked.
if is("Stalled") then
  return health("Degraded")
end
-- Waits for a person.
if ready.reason == "Suspended" then
  return health("Suspended")
end
if held then
  return {status = "Suspended", message = "On hold: nothing is changed"}
end
if ready.reason == "ApprovalRequired" then
  return health("Suspended")
end
-- A workload is left with a version that may not serve, or with nobody who watches it, until somebody does something.
if ready.reason == "NoEligibleClaim" or ready.reason == "EntryRemoved" then
  return health("Degraded")
end
if is("Ready") then
  return health("Healthy")
end
return health("Progressing")
