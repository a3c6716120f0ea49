local status = obj.status or {}
local ready, approved = {}, {}
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" then
    ready = condition
  elseif condition.type == "Approved" then
    approved = condition
  end
end

local annotations = obj.metadata.annotations or {}
local hold = annotations["weighbridge.dev/hold"]
local on_hold = hold ~= nil and hold ~= "false"
-- While nothing may be changed, and before the version is known, requests would only wait.
local frozen = on_hold or ready.reason == "Suspended" or (obj.spec ~= nil and obj.spec.suspend == true) or status.resolved == nil

local has_target, rejected = false, false
for _, target in ipairs(status.serving or {}) do
  if target.rejection ~= nil then
    rejected = true
  elseif target.state == "Progressing" or target.state == "Serving" then
    has_target = true
  end
end

local measured = false
for _, evaluation in ipairs(status.evaluations or {}) do
  if evaluation.verdict ~= nil and (evaluation.again == nil or evaluation.again == "") then
    measured = true
  end
end

local approvals = status.approvals or {}
local subject = approvals.subjectHash ~= nil and approvals.subjectHash ~= ""
-- All who decide in Argo CD are one approver (see approve/action.lua): what it has said already is not offered again, the opposite is.
local function said(decisions)
  for _, decision in ipairs(decisions or {}) do
    if decision.approver == "system:serviceaccount:argocd:argocd-server" then
      return true
    end
  end
  return false
end

local actions = {}
actions["approve"] = {
  ["disabled"] = not subject or approved.reason == "Approved" or said(approvals.approvedBy),
  ["displayName"] = "Approve",
  ["iconClass"] = "fa fa-fw fa-check"
}
actions["reject"] = {
  ["disabled"] = not subject or said(approvals.rejectedBy),
  ["displayName"] = "Reject",
  ["iconClass"] = "fa fa-fw fa-times"
}
actions["rollback"] = {
  ["disabled"] = frozen or not has_target,
  ["displayName"] = "Roll back",
  ["iconClass"] = "fa fa-fw fa-undo"
}
actions["retry"] = {
  ["disabled"] = frozen or not (rejected or ready.reason == "Flapping"),
  ["displayName"] = "Try again",
  ["iconClass"] = "fa fa-fw fa-redo"
}
actions["re-evaluate"] = {
  ["disabled"] = frozen or not measured,
  ["displayName"] = "Evaluate again",
  ["iconClass"] = "fa fa-fw fa-balance-scale"
}
actions["hold"] = {
  ["disabled"] = on_hold,
  ["displayName"] = "Hold",
  ["iconClass"] = "fa fa-fw fa-pause"
}
actions["release"] = {
  ["disabled"] = not on_hold,
  ["displayName"] = "Release",
  ["iconClass"] = "fa fa-fw fa-play"
}
return actions
