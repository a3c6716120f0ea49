if obj.metadata.annotations ~= nil then
  obj.metadata.annotations["weighbridge.dev/hold"] = nil
end
return obj
